"""Starting, stopping and describing child processes, and the messages between them."""
