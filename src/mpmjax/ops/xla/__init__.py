"""The JAX forms: for use inside `jax.jit`, on whatever device JAX runs."""
