"""Comparing the training speed of two versions of the code, live, and calibrating that on this machine."""
