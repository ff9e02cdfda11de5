"""Checks of what results rest on: the machine, images and extractors."""
