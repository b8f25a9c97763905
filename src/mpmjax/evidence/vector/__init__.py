"""Vector sources: features read, and rasters derived from them."""
