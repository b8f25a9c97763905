"""Samples -> a raster on the grid: methods and their settings, variograms, and the writing of the layer."""
