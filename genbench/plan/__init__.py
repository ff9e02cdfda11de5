"""What is to be measured: pure data, made from what was asked for and from what is installed."""
