"""Geochemistry as pure numbers: compositions, log-ratios, factors, transformations, levelling."""
