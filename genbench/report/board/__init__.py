"""The board: a static site over many runs."""
