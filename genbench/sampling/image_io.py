"""Writing sampled images to files, and reading images to reconstruct from a folder."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genbench.builtin.datasets.folder import checked_root, find_images, printable
from genbench.builtin.datasets.image_file import UnreadableImage, quiet_pillow, read_image
from genbench.errors import DataError, UsageError, near_miss
from genbench.planning.dataset_folders import require_folder
from genbench.results.store import atomic_write
from genbench.sampling.checkpoint_model import TrainedModel
from genbench.sampling.sample_grids import GRID, write_grid, write_scatter

Form = Literal["grid", "animation", "arrays", "folder"]

_FORMS: dict[str, Form] = {".png": "grid", ".gif": "animation", ".npz": "arrays", "": "folder"}
_FRAME_MILLISECONDS = 80
_MOST_PIXELS = 200_000_000  # of a grid
_MOST_COLUMNS = 16  # up to so many classes have a column each


@dataclass(frozen=True)
class Destination:
    """Where images are written, and in which form."""

    path: Path
    form: Form


def parse_destination(text: str, animated: bool) -> Destination:
    """Parse --out: .png is a grid, .npz arrays, .gif an animation, no suffix or a trailing / a folder.

    Raises `UsageError` for another suffix, an animation without an interpolation, and a folder that is not empty.
    """
    path = Path(text).expanduser()
    suffix = "" if text.endswith("/") or path.is_dir() else path.suffix.lower()
    form = _FORMS.get(suffix)
    known = [suffix for suffix in _FORMS if suffix]
    if form is None:
        raise UsageError(
            f"--out {text} has the unknown suffix {suffix}.{near_miss(suffix, known)}",
            "Write .png for a grid, .npz for arrays, .gif for an animated interpolation, or a folder.",
            code="GB710",
        )
    if form == "animation" and not animated:
        raise UsageError(
            f"--out {text}: only an interpolation can be animated.",
            "Write .png, or add --interpolate A:B.",
            code="GB710",
        )
    if form == "folder" and path.is_dir() and any(path.iterdir()):
        raise UsageError(
            f"--out {text} is not empty.", "Choose a new folder, so that it contains only these images.", code="GB706"
        )
    if form == "folder" and path.exists() and not path.is_dir():
        raise UsageError(
            f"--out {text} is a file without a suffix.", "Choose a folder, or a file such as grid.png.", code="GB710"
        )
    return Destination(path, form)


def write_images(
    destination: Destination,
    trained: TrainedModel,
    pixels: Tensor,
    labels: Tensor | None = None,
    originals: Tensor | None = None,
    columns: int | None = None,
) -> None:
    """Write uint8 images (N, channels, height, width) and, for reconstructions, their originals.

    A grid shows originals above reconstructions; a folder contains ``00000.png`` …, with a sub-folder per class, and
    ``00000-original.png``; arrays are `images` uint8 (N, height, width, channels), `labels` int64 (N,), `originals`.
    Raises `UsageError` where the form does not support such images, or writing fails.
    """
    channels, height, width = pixels.shape[1:]
    if destination.form != "arrays" and not trained.points and channels not in (1, 3):
        raise UsageError(
            f"Images with {channels} channels cannot be drawn.", "Write them as arrays: --out images.npz.", code="GB710"
        )
    if destination.form in ("folder", "animation") and trained.points:
        raise UsageError(
            "2-D points cannot be drawn as images.", "Write arrays, .npz, or a scatter plot, .png.", code="GB710"
        )
    if destination.form == "grid" and len(pixels) * height * width > _MOST_PIXELS:
        raise UsageError(f"{len(pixels)} images are too many for one grid.", "Write a folder, or .npz.", code="GB710")
    columns = columns or _columns(labels, len(pixels))
    writers: dict[Form, Callable[[Path], None]] = {
        "grid": lambda path: _write_grid(path, pixels, originals, columns, trained.points),
        "animation": lambda path: _write_animation(path, pixels),
        "arrays": lambda path: _write_arrays(path, pixels, labels, originals),
        "folder": lambda path: _write_folder(path, pixels, _class_folders(trained, labels), originals),
    }
    try:
        destination.path.parent.mkdir(parents=True, exist_ok=True)
        writers[destination.form](destination.path)
    except OSError as error:
        raise UsageError(
            f"Cannot write {destination.path}: {error.strerror or error}.", "Choose another --out.", code="GB702"
        ) from error


def read_image_folder(folder: str, trained: TrainedModel, count: int) -> tuple[Tensor, list[str]]:
    """Return the first readable images of a folder, uint8 (N, …) in the cell's image shape, and the unreadable ones.

    Raises `DataError` where there are none, and `UsageError` where the cell's images are not square, grey or RGB.
    """
    channels, height, width = trained.identity.image_shape
    if trained.points or height != width or channels not in (1, 3):
        shape = "×".join(map(str, trained.identity.image_shape))
        raise UsageError(
            f"Image files cannot be read as images of {shape}.", "Choose a cell of another dataset.", code="GB306"
        )
    require_folder(folder, "--reconstruct")
    root = checked_root(folder)
    paths, problems = find_images(root)
    found: list[Tensor] = []
    with quiet_pillow():
        for path in paths:
            if len(found) == count:
                break
            try:
                found.append(torch.from_numpy(np.array(read_image(root / path, height, channels))))
            except UnreadableImage as error:
                problems.append(f"{printable(path)} ({error})")
    if not found:
        why = f" {'; '.join(problems[:3])}." if problems else ""
        raise DataError(
            f"There are no readable images in {printable(str(root))}.{why}", "Choose a folder of images.", code="GB304"
        )
    return torch.stack(found), problems


def _columns(labels: Tensor | None, count: int) -> int:
    """Return the images per row: one per class for a few classes, otherwise for an about square grid."""
    distinct = 0 if labels is None else len(set(labels.tolist()))
    if 1 < distinct <= _MOST_COLUMNS:
        return distinct
    return max(GRID, math.isqrt(count - 1) + 1)


def _write_grid(path: Path, pixels: Tensor, originals: Tensor | None, columns: int, points: bool) -> None:
    if points:
        write_scatter(path, pixels, pixels[:0] if originals is None else originals)
    elif originals is None:
        write_grid(path, pixels, columns)
    else:
        columns = min(columns, len(pixels))
        blank = pixels.new_zeros(-len(pixels) % columns, *pixels.shape[1:])  # so that rows stay in pairs
        rows = (torch.split(torch.cat([images, blank]), columns) for images in (originals, pixels))
        write_grid(path, torch.cat([row for pair in zip(*rows, strict=True) for row in pair]), columns)


def _write_animation(path: Path, pixels: Tensor) -> None:
    frames = [_to_pillow(image) for image in pixels]
    frames += frames[-2:0:-1]  # and back, so that the loop has no jump
    buffer = io.BytesIO()
    frames[0].save(buffer, format="GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MILLISECONDS, loop=0)
    atomic_write(path, buffer.getvalue())


def _write_arrays(path: Path, pixels: Tensor, labels: Tensor | None, originals: Tensor | None) -> None:
    arrays = {"images": pixels.permute(0, 2, 3, 1).numpy()}
    if labels is not None:
        arrays["labels"] = labels.cpu().numpy()
    if originals is not None:
        arrays["originals"] = originals.permute(0, 2, 3, 1).numpy()
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    atomic_write(path, buffer.getvalue())


def _write_folder(path: Path, pixels: Tensor, classes: Sequence[str] | None, originals: Tensor | None) -> None:
    """Write one file for each image; after an error, remove them, so that the folder can be used again."""
    digits = max(5, len(str(len(pixels) - 1)))
    existed, written = path.is_dir(), list[Path]()
    try:
        for index, image in enumerate(pixels):
            folder = path if classes is None else path / classes[index]
            folder.mkdir(parents=True, exist_ok=True)
            pair = {"": image} if originals is None else {"": image, "-original": originals[index]}
            for suffix, drawn in pair.items():
                written.append(folder / f"{index:0{digits}}{suffix}.png")
                _to_pillow(drawn).save(written[-1])
    except BaseException:
        _remove(path, written, keep=existed)
        raise


def _remove(path: Path, written: Sequence[Path], keep: bool) -> None:
    """Remove files, their folders below `path` where these are empty, and `path` itself unless it is to be kept."""
    for file in written:
        with contextlib.suppress(OSError):
            file.unlink()
    folders = {file.parent for file in written if file.parent != path} | (set() if keep else {path})
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _class_folders(trained: TrainedModel, labels: Tensor | None) -> list[str] | None:
    """Return each image's class as a folder name, so that the dataset `folder` can read the labels."""
    if labels is None:
        return None
    names = [name if _is_folder_name(name) else str(label) for label, name in enumerate(trained.class_names)]
    return [names[label] if label < len(names) else str(label) for label in labels.tolist()]


def _is_folder_name(name: str) -> bool:
    return bool(name) and Path(name).name == name and name.isprintable() and not name.startswith(".")


def _to_pillow(image: Tensor) -> Image.Image:
    values = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(values if values.shape[2] == 3 else values[:, :, 0])
