"""The built-in datasets: names and options; their loaders are imported only when one is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import genbench
from genbench.builtin.datasets import generated, published

_FASHION_MNIST = "https://github.com/zalandoresearch/fashion-mnist"


@dataclass(frozen=True)
class FolderOptions:
    """Options of `folder`."""

    path: str = genbench.option("", "the folder, searched recursively; usually written as folder:PATH", folder=True)
    size: int = genbench.option(64, "height and width in pixels after the centre crop", minimum=4)
    channels: int = genbench.option(3, "3 for colour, 1 for grey", minimum=1, maximum=3)


@dataclass(frozen=True)
class SyntheticOptions:
    """Options of `synthetic`."""

    size: int = genbench.option(64, "height and width in pixels", minimum=4)
    channels: int = genbench.option(3, "channels of each image", minimum=1)
    count: int = genbench.option(4096, "images, a fifth of them held out", minimum=2)


@genbench.hookimpl
def genbench_datasets() -> Iterator[genbench.DatasetSpec]:
    """Yield the built-in datasets; the first is the default."""
    yield genbench.DatasetSpec(
        name="fashion-mnist-mini",
        summary="the 10,000 published Fashion-MNIST test images, every fifth held out",
        image_shape=(1, 28, 28),
        load="genbench.builtin.datasets.fashion_mnist_mini:load",
        signature="genbench.builtin.datasets.fashion_mnist_mini:signature",
        classes=10,
        train_size=8000,
        licence="MIT, © 2017 Zalando SE",
        source=f"in this package; {_FASHION_MNIST}",
    )
    yield genbench.DatasetSpec(
        name="fashion-mnist",
        summary="Fashion-MNIST with its published split, 60,000 training and 10,000 test images",
        image_shape=(1, 28, 28),
        load="genbench.builtin.datasets.fashion_mnist:load",
        signature="genbench.builtin.datasets.fashion_mnist:signature",
        classes=10,
        train_size=60_000,
        licence="MIT, © 2017 Zalando SE",
        source=f"the cache directory, Debian's package dataset-fashion-mnist, or a download; {_FASHION_MNIST}",
    )
    yield genbench.DatasetSpec(
        name="folder",
        summary="your own images (folder:PATH), cropped and resized; sub-folders are classes, every fifth is held out",
        image_shape=(3, 64, 64),
        load="genbench.builtin.datasets.folder:load",
        signature="genbench.builtin.datasets.folder:signature",
        options=FolderOptions,
        argument="path",
        licence="that of the images",
        source="local PNG, JPEG, BMP, GIF, WebP, TIFF and PNM files",
    )
    yield genbench.DatasetSpec(
        name="synthetic",
        summary="uniform noise, for throughput only: quality metrics on it are meaningless",
        image_shape=(3, 64, 64),
        load="genbench.builtin.datasets.synthetic:load",
        options=SyntheticOptions,
        classes=10,
        licence="none needed",
        source="generated from a fixed seed",
        synthetic=True,
    )
    yield from published.specs()
    yield from generated.specs()
