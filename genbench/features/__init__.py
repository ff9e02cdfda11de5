"""Features of images: extraction by a frozen network, caching on disk, and statistics files for other programs."""
