"""Reporter plugins, each in a process of its own, and the events that are sent to them."""
