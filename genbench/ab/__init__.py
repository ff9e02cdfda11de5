"""Comparing two versions of some code live: the time of a training step in each, in alternating windows."""
