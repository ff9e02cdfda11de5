"""Statistics and decisions: pure functions."""
