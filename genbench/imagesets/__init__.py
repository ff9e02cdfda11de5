"""The two image sets of `genbench fid`: images as streams, their features on disk, and the metrics between them."""
