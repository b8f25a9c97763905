"""The CUDA forms: plans and arrays on the card, and the launches of kernels/*.cu."""
