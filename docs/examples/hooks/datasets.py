"""A plugin that registers a dataset."""

import genbench


@genbench.hookimpl
def genbench_datasets():
    """Register the dataset."""
    yield genbench.DatasetSpec(name="my-data", image_shape=(1, 28, 28), load="my_package.data:load")
