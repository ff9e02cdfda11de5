"""Verdicts for readers: on a terminal, in a pull request, and for CI systems."""
