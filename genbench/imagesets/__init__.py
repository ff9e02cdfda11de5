"""The two sides of a comparison: images as streams, their features on disk, and the metrics between them."""
