"""The grid: resolved from the project, its true areas, and CRSs to propose for it."""
