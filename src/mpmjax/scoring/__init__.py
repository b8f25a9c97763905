"""Numbers on samples: favourability, anomaly, groups, confidence, thresholds, metrics. Knows nothing of rasters."""
