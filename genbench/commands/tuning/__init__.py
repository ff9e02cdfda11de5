"""Tuning from Python and from the command line: equally many trials for every model."""
