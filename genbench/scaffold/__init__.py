"""Writing a new plugin package: templates, filled with a name."""
