"""Metrics of a trained model's images: pure functions from images or features to numbers with standard errors."""
