"""Comparing stored results: with a baseline, with each other, over seeds, over datasets, and over time."""
