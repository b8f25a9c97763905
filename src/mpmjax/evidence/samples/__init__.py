"""Tables of samples: places and what was measured there, with rules for what laboratories write."""
