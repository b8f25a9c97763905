"""The definitions, in plain float64 NumPy. Read these first: ops/ is judged by them. Imports nothing of ours."""
