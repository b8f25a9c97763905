"""CUDA sources, shipped as package data; README.md says what stands here and by which rules. No Python code."""
