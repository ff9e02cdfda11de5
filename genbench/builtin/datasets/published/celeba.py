"""CelebA (Liu et al. 2015): aligned faces, 178×218, with the published partition and 40 attributes.

The default crop is the largest centred square, 178, which keeps hair and chin; 148 (without most of the background)
and 160 are also common. Distances between image sets are not comparable across crops.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.published.decode_images import decode
from genbench.builtin.datasets.published.files import Source, source, states
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets
from genbench.builtin.download import Download

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import CelebAOptions

_FOLDER, _IMAGES, _ARCHIVE = "celeba", "img_align_celeba", "img_align_celeba.zip"
_URL = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"  # of Google Drive, by file;
# for the archive it may first answer with a form to confirm, which `genbench.builtin.download` follows
_LISTS = (
    "list_attr_celeba.txt",
    "identity_CelebA.txt",
    "list_bbox_celeba.txt",
    "list_landmarks_align_celeba.txt",
    "list_eval_partition.txt",
)


def load(options: CelebAOptions, cache: Path) -> ImageData:
    """Return the published partitions `train` and `test`; `valid` is not used.

    With an `attribute`, the labels say whether a face has it. The lists, and the archive before it is extracted, are
    verified by torchvision's checksums; there are none for extracted images. Raises `DataError` where the files are
    damaged or unavailable.
    """
    CelebA = torchvision_datasets().CelebA
    sums = {name: md5 for _, md5, name in CelebA.file_list}
    folder = Path(options.root).expanduser() if options.root else cache
    extracted = (folder / _FOLDER / _IMAGES).is_dir()
    place = _source(options, cache, {name: sums[name] for name in (*_LISTS, *([] if extracted else [_ARCHIVE]))})
    place.obtain([Download([_URL.format(number)], f"{_FOLDER}/{name}", md5) for number, md5, name in CelebA.file_list])
    place.verify()
    image_folder = place.root / _FOLDER / _IMAGES
    if not extracted:
        _extract(place)
    train, test = (_images(CelebA(place.root, split), image_folder, options, cache) for split in ("train", "test"))
    named = options.attribute != "none"
    return ImageData(
        train=train, test=test, class_names=(f"not {options.attribute}", options.attribute) if named else ()
    )


def signature(options: CelebAOptions, cache: Path) -> str:
    """Return the state of the lists and of the image folder; empty while they are missing."""
    place = _source(options, cache, {})
    return states(place.root / _FOLDER / name for name in (*_LISTS, _IMAGES))


def _source(options: CelebAOptions, cache: Path, sums: dict[str, str]) -> Source:
    files = {f"{_FOLDER}/{name}": md5 for name, md5 in sums.items()}
    fetch = f"{_ARCHIVE}, {', '.join(_LISTS)} from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    return source("CelebA", options.root, cache, files, fetch, _FOLDER)


def _extract(place: Source) -> None:
    """Extract the archive next to the lists; the folder appears completely or not at all."""
    folder = place.root / _FOLDER
    archive = folder / _ARCHIVE
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".extracting-") as scratch:
            torchvision_datasets().utils.extract_archive(archive, scratch)
            Path(scratch, _IMAGES).rename(folder / _IMAGES)
    except OSError as error:
        raise DataError(
            f"{archive} could not be extracted: {error}.", f"Extract it yourself, so that {folder / _IMAGES} exists."
        ) from error


def _open(path: Path) -> Image.Image:
    return Image.open(path, formats=["JPEG"])  # whatever the content: for others Pillow may start a program


def _images(split: Any, image_folder: Path, options: CelebAOptions, cache: Path) -> Images:
    names = [image_folder / name for name in split.filename]
    pixels = torch.from_numpy(decode(names, len(names), _open, options.size, cache, options.crop))
    if options.attribute == "none":
        return Images(pixels)
    if options.attribute not in split.attr_names:
        raise DataError(
            f"CelebA's list of attributes has no {options.attribute}.",
            f"It has: {', '.join(name for name in split.attr_names if name)}.",
            code="GB103",
        )
    return Images(pixels, split.attr[:, split.attr_names.index(options.attribute)].to(torch.int64))
