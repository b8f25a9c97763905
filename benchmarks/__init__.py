"""Gate, time and report the hot loops. Protocol: README.md. Run: python -m benchmarks.run --help."""
