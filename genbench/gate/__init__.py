"""Statistics and decisions of the gate: pure functions."""
