"""Derivatives of a magnetic or gravity grid: edges, depths and shapes of bodies that the field itself blurs."""
