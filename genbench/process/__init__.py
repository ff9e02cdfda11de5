"""Starting and stopping child processes, describing how they ended, and the messages between processes."""
