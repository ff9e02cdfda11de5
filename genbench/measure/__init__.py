"""Measuring time, memory, energy, operations and the machine."""
