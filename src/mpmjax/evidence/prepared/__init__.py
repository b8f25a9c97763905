"""Layers on the grid, kept by content: a source is opened only where no entry of the cache knows what it would give."""
