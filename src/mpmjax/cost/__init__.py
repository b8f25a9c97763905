"""What a run of a project will cost on this machine: rates.py measures, by laid.py and probes.py; model.py reckons."""
