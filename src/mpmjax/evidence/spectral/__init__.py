"""Multispectral scenes: which band is which, which cells can be used, and the published indices of minerals.

Numbers only: who reads the scene hands on arrays by canonical band name, in reflectance (reflectance.py says how a
file's numbers become that, and what happens to a ratio where they do not).
"""
