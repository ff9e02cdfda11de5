"""What a new user meets first: which command makes sense now, and a first plan file."""
