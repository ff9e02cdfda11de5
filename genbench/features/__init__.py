"""Features of images: taken by a frozen network, kept on disk, and summed up in files that other programs read."""
