"""Fashion-MNIST as published: 60,000 training and 10,000 test images of clothes, 28×28, grey (Xiao et al. 2017)."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path

import torch
from torch import Tensor

from genbench import ImageData, Images
from genbench.builtin.datasets.idx import read_published
from genbench.builtin.datasets.published.files import Source, states
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets
from genbench.builtin.download import Download

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# SHA-256 of each file's decompressed content, which is the same for every source of the file. The published, compressed
# files with this content have the MD5 sums that torchvision states.
CONTENT = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

_RAW = "FashionMNIST/raw"  # torchvision's layout
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # from the Debian package dataset-fashion-mnist


def load(options: None, cache: Path) -> ImageData:
    """Return both splits from the cache directory, Debian's package, or a download into the cache, in this order.

    The cache has torchvision's layout, `FashionMNIST/raw`, so a directory that torchvision filled can be used as well.
    Raises `DataError` where the files are damaged, or are missing and cannot be downloaded.
    """
    raw = cache / _RAW
    folder = next((place for place in (raw, DEBIAN) if _complete(place)), None)
    if folder is None:
        _download(cache)
        folder = raw
    cure = f"Delete {folder}: it will be downloaded again." if folder == raw else "Reinstall dataset-fashion-mnist."
    return ImageData(
        train=Images(*read_split(folder, "train", cure)),
        test=Images(*read_split(folder, "t10k", cure)),
        class_names=CLASS_NAMES,
    )


def signature(options: None, cache: Path) -> str:
    """Return the state of the files that `load` would read; empty where it would download them."""
    places = (cache / _RAW, DEBIAN)
    folder = next((place for place in places if _complete(place)), None)
    return "" if folder is None else states(folder / name for name in CONTENT)


def read_split(folder: Traversable, split: str, cure: str) -> tuple[Tensor, Tensor]:
    """Return the published images (N, 1, 28, 28) and labels (N,) of split `train` or `t10k`, verified."""

    def read(name: str) -> Tensor:
        return read_published(folder / name, CONTENT[name], cure)

    pixels, labels = read(f"{split}-images-idx3-ubyte.gz"), read(f"{split}-labels-idx1-ubyte.gz")
    return pixels.unsqueeze(1), labels.to(torch.int64)


def _download(cache: Path) -> None:
    """Fetch the four files from torchvision's mirror, verified by torchvision's MD5 sums, or raise `DataError`."""
    FashionMNIST = torchvision_datasets().FashionMNIST  # only a download needs it, and the import takes seconds

    advice = (
        f"Run `apt install dataset-fashion-mnist`, or put {', '.join(CONTENT)} into {cache / _RAW}. "
        "The default dataset, fashion-mnist-mini, needs no download."
    )
    files = {f"{_RAW}/{name}": md5 for name, md5 in FashionMNIST.resources}
    downloads = [
        Download([f"{mirror}{name}" for mirror in FashionMNIST.mirrors], f"{_RAW}/{name}", md5)
        for name, md5 in FashionMNIST.resources
    ]
    Source("Fashion-MNIST", cache, False, files, advice).obtain(downloads)


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in CONTENT)
