"""Reading time, memory and the machine."""
