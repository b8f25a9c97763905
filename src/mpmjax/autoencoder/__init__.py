"""The LSTM autoencoder in JAX: network, training, saved form. Knows nothing of rasters."""
