"""What is written to a run directory, and how it is read back."""
