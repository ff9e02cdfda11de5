"""What to measure: a plan, as plain data, made from a request and from what is installed."""
