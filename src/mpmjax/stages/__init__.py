"""The steps of a run, one file and one public function each, in the order of pipeline.py. A stage imports no stage."""
