"""LSUN (Yu et al. 2015): one scene category from its LMDB databases, which torchvision's class reads too.

torchvision's class is not used: it stores the keys of a database in a pickle in the working directory, and would
execute any file of that name there. The databases have no published checksums.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.published.decode_images import decode
from genbench.builtin.datasets.published.files import source, states

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import LSUNOptions


def load(options: LSUNOptions, cache: Path) -> ImageData:
    """Return the published splits of the category, `train` and `val`, in key order, cropped to centred squares.

    Raises `DataError` where the package lmdb, or a database, is missing.
    """
    try:
        lmdb = importlib.import_module("lmdb")
    except ImportError as error:
        raise DataError(
            "LSUN needs the package lmdb, which is not installed.", "Run `pip install lmdb`.", code="GB403"
        ) from error
    train, test = (_images(lmdb, folder, options.size, cache) for folder in _databases(options, cache))
    return ImageData(train=Images(train), test=Images(test))


def signature(options: LSUNOptions, cache: Path) -> str:
    """Return the state of the two databases; empty while one is missing."""
    return states(folder / "data.mdb" for folder in _databases(options, cache))


def _databases(options: LSUNOptions, cache: Path) -> list[Path]:
    root = source("LSUN", options.root, cache, {}, "").root
    return [root / f"{options.category}_{split}_lmdb" for split in ("train", "val")]


def _images(lmdb: Any, folder: Path, size: int, cache: Path) -> torch.Tensor:
    if not (folder / "data.mdb").is_file():
        raise DataError(
            f"There is no database {folder}.",
            f"Download {folder.name.removesuffix('_lmdb')} with the script of https://github.com/fyu/lsun, extract it "
            f"into {folder.parent}, or set lsun.root to its folder.",
            code="GB301",
        )
    try:
        with lmdb.open(str(folder), readonly=True, lock=False, readahead=True, max_readers=1) as environment:
            with environment.begin(write=False) as transaction:
                count = int(transaction.stat()["entries"])
                contents: Iterator[bytes] = transaction.cursor().iternext(keys=False, values=True)
                return torch.from_numpy(decode(contents, count, _open, size, cache))
    except lmdb.Error as error:
        raise DataError(f"The database {folder} cannot be read: {error}.", "Download it again.") from error


def _open(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["WEBP", "JPEG", "PNG"])  # no decoder that starts a program
