"""Images in torchvision's layout: one folder per class, inside train/ and test/ or val/ where the data are split."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
import torch

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.folder import (
    checked_root,
    choose_held_out,
    dataset_signature,
    incomplete_notes,
    printable,
    read_images,
    summarise_skipped,
)
from genbench.builtin.datasets.image_file import SUFFIXES
from genbench.builtin.datasets.pixel_buffer import Array, select
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import ImageFolderOptions


def load(options: ImageFolderOptions, cache: Path) -> ImageData:
    """Return the images of PATH/train and of PATH/test (or PATH/val), by class.

    Where there is neither test nor val, every fifth image of each class is held out, as in the dataset `folder`.
    Unreadable files are skipped; notes count and name them, and the images left out because of their suffix. Raises
    `DataError` where the folder has another layout or too few images.
    """
    if options.channels not in (1, 3):
        raise DataError(
            f"image-folder.channels = {options.channels} is neither colour nor grey.", "Set it to 3 or 1.", code="GB103"
        )
    root = checked_root(options.path, "image-folder")
    train_root, test_root = splits(root)
    classes, train_pixels, train_labels, skipped = _read(root, train_root, options, cache)
    if test_root is None:
        chosen = np.array(choose_held_out(train_labels.tolist()), dtype=bool)
        test_pixels, test_labels = select(train_pixels, chosen, cache), train_labels[chosen]
        train_pixels, train_labels = select(train_pixels, ~chosen, cache), train_labels[~chosen]
    else:
        test_classes, test_pixels, test_labels, more = _read(root, test_root, options, cache)
        skipped += more
        if test_classes != classes:
            differing = sorted(set(classes) ^ set(test_classes))
            raise DataError(
                f"{train_root} and {test_root} have different classes: {', '.join(map(printable, differing))}.",
                "Give both the same sub-folders.",
            )
    if not len(train_labels):
        raise DataError(
            f"{train_root} has too few readable images to hold one out.", "Choose a folder with more.", code="GB304"
        )
    return ImageData(
        train=Images(torch.from_numpy(train_pixels), torch.from_numpy(train_labels)),
        test=Images(torch.from_numpy(test_pixels), torch.from_numpy(test_labels)),
        class_names=tuple(printable(name) for name in classes),
        notes=incomplete_notes(root, skipped),
    )


def signature(options: ImageFolderOptions, cache: Path) -> str:
    """Return the folder's path and a hash of the names, sizes and times of its images, without opening any."""
    return dataset_signature(checked_root(options.path, "image-folder"))


def splits(root: Path) -> tuple[Path, Path | None]:
    """Return the folder of training classes and that of held-out ones, or None where there is none.

    A sub-folder `train` counts as a split only where it has sub-folders itself: otherwise it is a class.
    """
    train = root / "train"
    if not (train.is_dir() and any(entry.is_dir() for entry in train.iterdir())):
        return root, None
    return train, next((root / name for name in ("test", "val") if (root / name).is_dir()), None)


def _read(
    root: Path, folder: Path, options: ImageFolderOptions, cache: Path
) -> tuple[list[str], Array, np.ndarray[tuple[int], np.dtype[np.int64]], list[str]]:
    """Return class names, pixels, labels and what was skipped."""
    try:
        found = torchvision_datasets().ImageFolder(str(folder), is_valid_file=_is_image)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} does not have the layout CLASS/image: {error}",
            "Put the images of each class into a sub-folder, and remove empty ones; "
            f"for images without classes write folder:{options.path}.",
        ) from error
    paths = [Path(path) for path, _ in found.samples]
    pixels, reasons = read_images(paths, options.size, options.channels, cache)
    readable = np.array([not why for why in reasons])
    skipped = [f"{printable(path.relative_to(root))} ({why})" for path, why in zip(paths, reasons, strict=True) if why]
    labels = np.array(found.targets, dtype=np.int64)
    if not readable.any():
        raise DataError(
            f"{folder} has no readable image. {summarise_skipped(skipped)}", "Repair these files.", code="GB304"
        )
    if not readable.all():
        pixels, labels = select(pixels, readable, cache), labels[readable]
    return list(found.classes), pixels, labels, skipped


def _is_image(path: str) -> bool:
    name = PurePath(path).name
    return not name.startswith(".") and name.lower().endswith(tuple(SUFFIXES))
