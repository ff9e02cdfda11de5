"""From a planned dataset to checked tensors."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genbench.errors import DataError
from genbench.exchange import ImageData, Images
from genbench.plan.catalogue import Catalogue
from genbench.results.schema import Choice
from genbench.specs import DatasetSpec, Shape, resolve


@dataclass(frozen=True)
class LoadedData:
    """Both splits on the CPU, checked; labels are int64 (N,) or None."""

    train_pixels: Tensor  # uint8, (N, channels, height, width)
    train_labels: Tensor | None
    test_pixels: Tensor
    test_labels: Tensor | None
    num_classes: int  # 0: not labelled
    hash: str  # sha256 of everything above
    notes: tuple[str, ...]

    @property
    def train(self) -> Images:
        """The training images."""
        return Images(self.train_pixels, self.train_labels)

    @property
    def test(self) -> Images:
        """The held-out images."""
        return Images(self.test_pixels, self.test_labels)


def cache_directory() -> Path:
    """Return where downloads are kept: $GENBENCH_CACHE, else a folder in the user's cache."""
    chosen = os.environ.get("GENBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genbench"


def load_data(choice: Choice, shape: Shape, catalogue: Catalogue) -> LoadedData:
    """Load a dataset and check that it is what its spec declares; raise `DataError` where it is not."""
    spec: DatasetSpec = catalogue.require("datasets", choice.name).spec
    loaded = resolve(spec.load)(spec.make_options(choice.options), cache_directory())
    if not isinstance(loaded, ImageData):
        raise DataError(f"Dataset '{choice.name}' returned {type(loaded).__name__}, not an ImageData.")
    train_pixels, train_labels = _check(loaded.train, "train", shape, choice.name)
    test_pixels, test_labels = _check(loaded.test, "test", shape, choice.name)
    num_classes = 0
    if train_labels is not None:
        highest = max(int(labels.max()) for labels in (train_labels, test_labels) if labels is not None)
        num_classes = max(spec.classes or 0, len(loaded.class_names), highest + 1)
    return LoadedData(
        train_pixels=train_pixels,
        train_labels=train_labels,
        test_pixels=test_pixels,
        test_labels=test_labels,
        num_classes=num_classes,
        hash=_hash(train_pixels, train_labels, test_pixels, test_labels),
        notes=tuple(loaded.notes),
    )


def _check(images: Images, split: str, shape: Shape, name: str) -> tuple[Tensor, Tensor | None]:
    where = f"Dataset '{name}', split '{split}'"
    pixels = torch.as_tensor(images[0])
    if pixels.dtype != torch.uint8:
        raise DataError(f"{where}: pixels are {pixels.dtype}, not uint8.", "Scale them to 0…255 and convert them.")
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != tuple(shape):
        raise DataError(
            f"{where}: pixels have shape {tuple(pixels.shape)}, but (N, {', '.join(map(str, shape))}) was declared.",
            "Mend image_shape of the spec, or the loader.",
        )
    if len(pixels) == 0:
        raise DataError(f"{where}: there are no images.")
    if len(images) < 2 or images[1] is None:
        return pixels, None
    labels = torch.as_tensor(images[1])
    if labels.is_floating_point() or labels.shape != (len(pixels),):
        raise DataError(f"{where}: labels are {labels.dtype} {tuple(labels.shape)}, not one whole number per image.")
    if int(labels.min()) < 0:
        raise DataError(f"{where}: a label is negative.")
    return pixels, labels.to(torch.int64)


def _hash(*tensors: Tensor | None) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is None:
            digest.update(b"none;")
            continue
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().numpy().reshape(-1).data)
    return digest.hexdigest()
