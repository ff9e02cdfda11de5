"""The commands as Python functions: what `genbench.run`, `load`, `plan` and `distance` do, and the command line too."""
