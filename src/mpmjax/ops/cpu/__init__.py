"""The Numba forms: whole tiles on the CPU, one thread a call, the GIL let go."""
