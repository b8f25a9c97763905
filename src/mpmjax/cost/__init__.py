"""What a run of a project will cost on this machine: rates.py measures, model.py reckons, table.py tells."""
