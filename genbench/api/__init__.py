"""The contract between genbench and its plugins: hooks, specs, options, the recipe, events and shared records.

Importing it does not import torch. Plugins import these names from `genbench` itself.
"""
