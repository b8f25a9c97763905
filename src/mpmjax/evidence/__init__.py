"""One kind of source -> one raster layer on the grid."""
