"""Intervals, tests and change points: pure functions of numbers, without torch or numpy."""
