"""A folder of the user's own images as a dataset: which files, which labels, which are held out."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
import torch

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.image_file import SUFFIXES, Array, UnreadableImage, quiet_pillow, read_image

if TYPE_CHECKING:
    from genbench.builtin.datasets import FolderOptions

_THREADS = 4  # Pillow decodes outside the interpreter's lock; each thread holds one full-size image
_NAMED = 10  # unreadable files that are named; the others are counted
_FORMATS = ", ".join(sorted(suffix.removeprefix(".") for suffix in SUFFIXES))


def load(options: FolderOptions, cache: Path) -> ImageData:
    """Return the folder's images, in the order of their paths; `cache` is not used.

    Unreadable files are skipped, and the notes count and name them. Where every image lies in a sub-folder, the
    top-level sub-folders are the classes, sorted by name; otherwise there are no labels. `held_out` states the split.
    Raises `DataError` where the folder, or enough of its images, cannot be read.
    """
    if options.channels not in (1, 3):
        raise DataError(f"folder.channels = {options.channels} is neither colour nor grey.", "Set it to 3 or 1.")
    root = checked_root(options.path)
    found, problems = find_images(root)
    if not found:
        inside = f"; {problems[0]}" if problems else ""
        raise DataError(f"There are no images in {root}{inside}.", f"Name a folder that holds {_FORMATS} files.")
    pixels, reasons = read_images([root / path for path in found], options.size, options.channels)
    skipped = [f"{printable(path)} ({why})" for path, why in zip(found, reasons, strict=True) if why] + problems
    readable = [path for path, why in zip(found, reasons, strict=True) if not why]
    notes = (summarise_skipped(skipped),) if skipped else ()
    if len(readable) < 2:
        raise DataError(
            f"{root} has {len(readable)} readable image{'s' * (len(readable) != 1)}; "
            f"training and held-out data need two at least. {' '.join(notes)}".rstrip(),
            "Name a folder with more images, or repair these.",
        )
    if len(readable) < len(found):
        pixels = pixels[[not why for why in reasons]]
    folders = class_folders(readable)
    class_names = sorted(set(folders)) if folders else []
    classes = [class_names.index(folder) for folder in folders] if folders else [0] * len(readable)
    test = torch.tensor(held_out(classes))
    images, labels = torch.from_numpy(pixels), torch.tensor(classes)
    return ImageData(
        train=Images(images[~test], labels[~test] if folders else None),
        test=Images(images[test], labels[test] if folders else None),
        class_names=tuple(printable(name) for name in class_names),
        notes=notes,
    )


def checked_root(path: str) -> Path:
    """Return the folder that the user named, `~` expanded, or raise `DataError` where there is no such folder."""
    if not path.strip():
        raise DataError("The dataset 'folder' was given no path.", "Write folder:PATH, for example folder:~/photos.")
    try:
        root = Path(path).expanduser()
        mode = root.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"The folder {path} does not exist.", "Check the spelling of folder:PATH.") from error
    except PermissionError as error:
        raise DataError(f"The folder {path} may not be read.", "Give yourself read permission on it.") from error
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a null character, no such user after ~
        raise DataError(
            f"The folder {path!r} cannot be read: {error}.", "Check the spelling of folder:PATH."
        ) from error
    if not stat.S_ISDIR(mode):
        raise DataError(f"{path} is a file, not a folder.", f"Name the folder: folder:{Path(path).parent}.")
    return root


def find_images(root: Path) -> tuple[list[PurePath], list[str]]:
    """Return the paths, relative to `root` and sorted, of all files with an image suffix, and what was not searched.

    Hidden files and folders are left out. Links are followed, except to a parent of `root`. Each folder is searched
    once, by its own path rather than a link's where it has both, so that loops end and no image comes twice by a link
    to its folder. Raises `DataError` where `root` itself may not be listed.
    """
    found: list[PurePath] = []
    problems: list[str] = []
    searched = {_identity(parent) for parent in root.resolve().parents}  # a link upwards leads out of the folder
    folders, links = deque([root]), deque[Path]()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        relative = folder.relative_to(root)
        try:
            if (identity := _identity(folder)) in searched:
                continue
            searched.add(identity)
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise DataError(
                    f"The folder {root} may not be read: {error.strerror}.", "Give yourself read permission on it."
                ) from error
            problems.append(f"{printable(relative)}/ ({error.strerror})")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(Path(entry))
            elif Path(entry).suffix.lower() in SUFFIXES:
                found.append(relative / entry.name)
    return sorted(found), problems


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a place that may not be entered
        return False


def read_images(paths: Sequence[Path], size: int, channels: int) -> tuple[Array, list[str]]:
    """Return pixels (N, channels, size, size) and, for each path, why it could not be read ('' where it could).

    Pixels of unreadable images are undefined. Raises `DataError` where the images do not fit into memory.
    """
    try:
        pixels = np.empty((len(paths), channels, size, size), dtype=np.uint8)
    except MemoryError as error:
        gib = len(paths) * channels * size * size / 2**30
        raise DataError(
            f"{len(paths)} images of {size}×{size} pixels need {gib:.1f} GiB of memory.", "Set a smaller folder.size."
        ) from error

    def read(index: int) -> str:
        try:
            pixels[index] = read_image(paths[index], size, channels)
        except UnreadableImage as error:
            return str(error)
        return ""

    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="read-images") as pool:
        return pixels, list(pool.map(read, range(len(paths))))


def class_folders(paths: Sequence[PurePath]) -> list[str] | None:
    """Return each image's top-level sub-folder, or None where an image lies in none."""
    return [path.parts[0] for path in paths] if all(len(path.parts) > 1 for path in paths) else None


def held_out(classes: Sequence[int]) -> list[bool]:
    """Return which images are held out: within each class, in order, every fifth.

    Where no class has five images it is the last of the largest class (the first such), so that there is always one.
    """
    seen: Counter[int] = Counter()
    chosen = []
    for label in classes:
        seen[label] += 1
        chosen.append(seen[label] % 5 == 0)
    if not any(chosen):
        largest = max(seen, key=lambda label: (seen[label], -label))
        chosen[max(i for i, label in enumerate(classes) if label == largest)] = True
    return chosen


def summarise_skipped(skipped: Sequence[str]) -> str:
    """Return one line that counts the unreadable files and names the first ten."""
    rest = f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
    return f"Skipped {len(skipped)} unreadable: {', '.join(skipped[:_NAMED])}{rest}."


def printable(name: PurePath | str) -> str:
    """Return a file's name so that any terminal and JSON can hold it: bytes that are not text are escaped."""
    text = name if isinstance(name, str) else name.as_posix()
    return text if text.isprintable() else ascii(text)[1:-1]
