"""What is installed, and plugins: listing, describing, creating and checking them."""
