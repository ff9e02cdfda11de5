"""From a dataset to batches: loading, caching, resident and streaming sources, augmentation."""
