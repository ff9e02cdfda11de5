"""Decisions of the gate on stored and live measurements: pure functions."""
