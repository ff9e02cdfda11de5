"""Reporter plugins, each in a process of its own."""
