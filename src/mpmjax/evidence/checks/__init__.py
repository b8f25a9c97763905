"""What a geologist should know of the sources before a study: remarks for the check."""
