"""A plugin that registers a dataset."""

import torch

import genbench


def load(options, cache):
    """Return squares of two sizes, which are their classes."""
    labels = torch.arange(200) % 2
    pixels = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    for image, label in zip(pixels, labels, strict=True):
        side = 6 + 8 * int(label)
        image[0, 4 : 4 + side, 4 : 4 + side] = 255
    train, test = genbench.Images(pixels[:160], labels[:160]), genbench.Images(pixels[160:], labels[160:])
    return genbench.ImageData(train=train, test=test, class_names=("small", "large"))


@genbench.hookimpl
def genbench_datasets():
    """Register the dataset."""
    yield genbench.DatasetSpec(name="my-squares", summary="squares", image_shape=(1, 28, 28), load=load, classes=2)
