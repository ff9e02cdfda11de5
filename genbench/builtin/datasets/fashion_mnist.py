"""Fashion-MNIST as published: 60,000 training and 10,000 test images of clothes, 28×28, grey (Xiao et al. 2017)."""

from __future__ import annotations

import contextlib
import io
import tempfile
from importlib.resources.abc import Traversable
from pathlib import Path

import torch
from torch import Tensor

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.idx import read_published
from genbench.builtin.datasets.published.files import states

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

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # from the Debian package dataset-fashion-mnist


def load(options: None, cache: Path) -> ImageData:
    """Return both splits from the cache directory, Debian's package, or a download into the cache, in this order.

    The cache has torchvision's layout, `FashionMNIST/raw`, so a directory that torchvision filled can be used as well.
    Raises `DataError` where the files are damaged, or are missing and cannot be downloaded.
    """
    raw = cache / "FashionMNIST" / "raw"
    folder = next((place for place in (raw, DEBIAN) if _complete(place)), None)
    if folder is None:
        download(raw)
        folder = raw
    cure = f"Delete {folder}: it will be downloaded again." if folder == raw else "Reinstall dataset-fashion-mnist."
    return ImageData(
        train=Images(*read_split(folder, "train", cure)),
        test=Images(*read_split(folder, "t10k", cure)),
        class_names=CLASS_NAMES,
    )


def signature(options: None, cache: Path) -> str:
    """Return the state of the files that `load` would read; empty where it would download them."""
    places = (cache / "FashionMNIST" / "raw", DEBIAN)
    folder = next((place for place in places if _complete(place)), None)
    return "" if folder is None else states(folder / name for name in CONTENT)


def read_split(folder: Traversable, split: str, cure: str) -> tuple[Tensor, Tensor]:
    """Return the published images (N, 1, 28, 28) and labels (N,) of split `train` or `t10k`, verified."""

    def read(name: str) -> Tensor:
        return read_published(folder / name, CONTENT[name], cure)

    pixels, labels = read(f"{split}-images-idx3-ubyte.gz"), read(f"{split}-labels-idx1-ubyte.gz")
    return pixels.unsqueeze(1), labels.to(torch.int64)


def download(raw: Path) -> None:
    """Fetch the four files from torchvision's mirror, verified by torchvision's MD5 sums, or raise `DataError`.

    They are moved to `raw` together, so that an interrupted download leaves nothing that looks complete.
    """
    try:
        # Imported here: the import takes seconds, and only a download needs it.
        from torchvision.datasets import FashionMNIST
        from torchvision.datasets.utils import download_url

        raw.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=raw.parent) as folder:
            for name, md5 in FashionMNIST.resources:
                with contextlib.redirect_stderr(io.StringIO()):  # its progress bar would garble the live display
                    download_url(f"{FashionMNIST.mirrors[0]}{name}", folder, name, md5)
            raw.mkdir(exist_ok=True)
            for name, _ in FashionMNIST.resources:
                (Path(folder) / name).replace(raw / name)
    except (OSError, RuntimeError, ImportError) as error:
        raise DataError(
            f"Fashion-MNIST is neither in {raw} nor in {DEBIAN}, and downloading it failed: {error}",
            f"Run `apt install dataset-fashion-mnist`, or put {', '.join(CONTENT)} into {raw}. "
            "The default dataset, fashion-mnist-mini, needs no download.",
            code="GB301",
        ) from error


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in CONTENT)
