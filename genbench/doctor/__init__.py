"""`genbench doctor`: does this machine run, train and measure as genbench assumes? One subject per file."""
