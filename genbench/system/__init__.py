"""What operating systems do differently: locks, ending processes, signals, opening files; one module for each."""
