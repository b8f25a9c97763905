"""What a run of a project will cost on this machine: rates.py measures (laid.py, probes.py), model.py reckons and tells."""
