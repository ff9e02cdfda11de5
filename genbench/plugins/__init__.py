"""Discovering, loading, probing and quarantining plugins, and the catalogue of what is installed."""
