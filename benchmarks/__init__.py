"""Gate, time and report the hot loops. Protocol: README.md. Run: python -m mpmjax.benchmarks.run --help."""
