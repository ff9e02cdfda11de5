"""Metrics that need a network of their own, trained on samples or read from a file."""
