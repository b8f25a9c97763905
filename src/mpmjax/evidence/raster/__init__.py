"""Raster sources: looked at, and laid on the grid."""
