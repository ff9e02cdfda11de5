"""A folder of the user's own images as a dataset: which files, which labels, which are held out.

Other packages use this too. It stays here because built-in plugins may import only the public API and each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
import PIL
import torch

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.image_file import SUFFIXES, UnreadableImage, quiet_pillow, read_image
from genbench.builtin.datasets.pixel_buffer import Array, allocate, select
from genbench.builtin.datasets.unread_format import unread_format

if TYPE_CHECKING:
    from genbench.builtin.datasets import FolderOptions

_THREADS = 4  # Pillow releases the interpreter lock while decoding; each thread holds one full-size image
_NAMED = 10  # unreadable files listed by name; the others are counted
_ENDINGS = tuple(SUFFIXES)
_SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "eval"}
_SPLITS_AS_CLASSES = "The sub-folders were used as classes, although they are named after splits:"
_FORMATS = ", ".join(sorted(suffix.removeprefix(".") for suffix in SUFFIXES))


def load(options: FolderOptions, cache: Path) -> ImageData:
    """Return the folder's images, in the order of their paths; large folders are decoded into a file under `cache`.

    Unreadable files are skipped; the notes count and name them, and the images left out because of their suffix. Where
    every image is in a sub-folder, the top-level sub-folders are the classes, sorted by name; otherwise there are no
    labels. `choose_held_out` defines the split. Raises `DataError` where the folder cannot be read, or has fewer than
    two readable images.
    """
    if options.channels not in (1, 3):
        raise DataError(
            f"folder.channels = {options.channels} is neither colour nor grey.", "Set it to 3 or 1.", code="GB103"
        )
    root = checked_root(options.path)
    found, problems = require_images(root)
    pixels, reasons = read_images([root / path for path in found], options.size, options.channels, cache)
    skipped = [f"{printable(path)} ({why})" for path, why in zip(found, reasons, strict=True) if why] + problems
    readable = [path for path, why in zip(found, reasons, strict=True) if not why]
    notes = incomplete_notes(root, skipped)
    if len(readable) < 2:
        raise DataError(
            f"{root} has {len(readable)} readable image{'s' * (len(readable) != 1)}; "
            f"training and held-out data need at least two. {' '.join(notes)}".rstrip(),
            "Choose a folder with more images, or repair these.",
            code="GB304",
        )
    class_names, labels = class_labels(readable)
    if named_after_splits(class_names):
        notes += (_splits_as_classes(class_names, options.path),)
    kept, test = np.array([not why for why in reasons]), np.array(choose_held_out(labels))
    in_test = np.zeros(len(found), dtype=bool)
    in_test[kept] = test
    targets = torch.tensor(labels)
    train_pixels, test_pixels = select(pixels, kept & ~in_test, cache), select(pixels, in_test, cache)
    return ImageData(
        train=Images(torch.from_numpy(train_pixels), targets[torch.from_numpy(~test)] if class_names else None),
        test=Images(torch.from_numpy(test_pixels), targets[torch.from_numpy(test)] if class_names else None),
        class_names=tuple(printable(name) for name in class_names),
        notes=notes,
    )


def signature(options: FolderOptions, cache: Path) -> str:
    """Return the folder's path and a hash of the names, sizes and times of its images, without opening any."""
    return dataset_signature(checked_root(options.path))


def dataset_signature(root: Path) -> str:
    """Return `folder_signature` and a hash of the names of all other files: the notes say which are images."""
    others = "\0".join(str(path) for path in _find_other_files(root))
    return f"{folder_signature(root)} {hashlib.sha256(os.fsencode(others)).hexdigest()}"


def folder_signature(root: Path) -> str:
    """Return the path of `root`, Pillow's version, and a hash of the names, sizes and times of its images."""
    files, problems = _scan(root, _state)
    lines = [*problems, *(f"{path}\0{state}" for path, state in files)]
    digest = hashlib.sha256(os.fsencode("\0".join(lines))).hexdigest()
    return f"{root.resolve()} Pillow {PIL.__version__} {len(files)} {digest}"


def _state(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError as error:  # a dangling link
        return str(error.errno)
    # Including the time of the inode change, so that swapping the names of two files is detected.
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def checked_root(path: str, name: str = "folder") -> Path:
    """Return the folder that the user named, `~` expanded, or raise `DataError` where there is none.

    `name` is that of the dataset.
    """
    if not path.strip():
        raise DataError(
            f"The dataset '{name}' needs a path.", f"Write {name}:PATH, for example {name}:~/photos.", code="GB305"
        )
    try:
        root = Path(path).expanduser()
        mode = root.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"The folder {path} does not exist.", f"Check the spelling of {name}:PATH.", code="GB305"
        ) from error
    except PermissionError as error:
        raise DataError(
            f"You have no permission to read {path}.", "Grant yourself read permission.", code="GB305"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a null character, no such user after ~
        raise DataError(
            f"The folder {path!r} cannot be read: {error}.", f"Check the spelling of {name}:PATH.", code="GB305"
        ) from error
    if not stat.S_ISDIR(mode):
        raise DataError(
            f"{path} is a file, not a folder.", f"Write the folder: {name}:{Path(path).parent}.", code="GB305"
        )
    return root


def require_images(root: Path) -> tuple[list[PurePath], list[str]]:
    """Return what `find_images` finds; raise `DataError` where there are no images."""
    found, problems = find_images(root)
    if not found:
        left_out = find_left_out(root)
        reason = f"; {problems[0] if problems else describe_left_out(left_out)}" if problems or left_out else ""
        raise DataError(
            f"There are no images in {printable(str(root))}{reason}.",
            f"Choose a folder that contains {_FORMATS} files.",
            code="GB304",
        )
    return found, problems


def find_images(root: Path) -> tuple[list[PurePath], list[str]]:
    """Return the sorted paths, relative to `root`, of all image files, and which folders could not be searched.

    Image files are those with an image suffix; hidden files and folders are ignored. Links are followed, except to a
    parent of `root`. Each folder is searched once, by its own path rather than a link's where it has both, so that
    loops end and a link to a folder does not duplicate its images. Raises `DataError` where `root` cannot be listed.
    """
    files, problems = _scan(root, lambda entry: "")
    return _sorted(files), problems


def find_left_out(root: Path) -> list[str]:
    """Return the images that `find_images` leaves out because of their suffix, as `path (format)`, sorted.

    Raises `DataError` where `root` cannot be listed.
    """
    formats = {path: unread_format(root / path) for path in _find_other_files(root)}
    return [f"{printable(path)} ({format})" for path, format in formats.items() if format]


def _find_other_files(root: Path) -> list[PurePath]:
    files, _ = _scan(root, lambda entry: "", lambda name: not _has_image_suffix(name))
    return _sorted(files)


def _sorted(files: Iterable[tuple[str, str]]) -> list[PurePath]:
    """Return the paths in an order that is the same on every system: Windows would ignore the case of letters."""
    return sorted((PurePath(path) for path, _ in files), key=lambda path: path.parts)


def _has_image_suffix(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def _scan(
    root: Path, describe: Callable[[os.DirEntry[str]], str], chosen: Callable[[str], bool] = _has_image_suffix
) -> tuple[list[tuple[str, str]], list[str]]:
    """Search as `find_images` does, and return each path with what `describe` returns for it, and the problems.

    Only files are returned whose name is chosen.

    Folders are opened by descriptor: reading a file's status then takes half as long as by its path.
    """
    files: list[tuple[str, str]] = []
    problems: list[str] = []
    searched = {_identity(parent) for parent in root.resolve().parents}  # an upward link leads out of the folder
    folders, links = deque([""]), deque[str]()  # relative to root, with a separator at the end
    while folders or links:
        relative = folders.popleft() if folders else links.popleft()
        folder = root / relative
        try:
            if (identity := _identity(folder)) in searched:
                continue
            searched.add(identity)
            with _opened(folder) as opened:
                for entry in _entries(opened):
                    if _is_folder(entry):
                        (links if entry.is_symlink() else folders).append(f"{relative}{entry.name}{os.sep}")
                    elif chosen(entry.name):
                        files.append((relative + entry.name, describe(entry)))
        except OSError as error:
            if not relative:
                raise DataError(
                    f"The folder {root} cannot be read: {error.strerror}.",
                    "Grant yourself read permission.",
                    code="GB305",
                ) from error
            problems.append(f"{printable(relative)} ({error.strerror})")
    return files, problems


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | Path]:
    if os.scandir not in os.supports_fd:  # Windows
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _entries(opened: int | Path) -> list[os.DirEntry[str]]:
    with os.scandir(opened) as listing:
        return sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder without permission
        return False


def read_images(paths: Sequence[Path], size: int, channels: int, cache: Path) -> tuple[Array, list[str]]:
    """Return pixels (N, channels, size, size) and, for each path, why it could not be read ('' where it could).

    Pixels of unreadable images are undefined. Large arrays are mapped from a file under `cache`. Raises `DataError`
    where the images fit neither there nor in memory.
    """
    pixels = allocate((len(paths), channels, size, size), cache)

    def read(index: int) -> str:
        try:
            pixels[index] = read_image(paths[index], size, channels)
        except UnreadableImage as error:
            return str(error)
        return ""

    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="read-images") as pool:
        return pixels, list(pool.map(read, range(len(paths))))


def class_labels(paths: Sequence[PurePath]) -> tuple[list[str], list[int]]:
    """Return the classes, the sorted top-level sub-folders, and the label of each image.

    Where an image is in no sub-folder, there are no classes, and all labels are 0.
    """
    if any(len(path.parts) == 1 for path in paths):
        return [], [0] * len(paths)
    names = sorted({path.parts[0] for path in paths})
    numbers = {name: number for number, name in enumerate(names)}
    return names, [numbers[path.parts[0]] for path in paths]


def named_after_splits(class_names: Sequence[str]) -> bool:
    """Whether all classes have names of splits, such as `train` and `test`."""
    return 0 < len(class_names) <= 4 and {name.lower() for name in class_names} <= _SPLIT_NAMES


def is_advice(note: str) -> bool:
    """Whether a note of this dataset is about its layout, and not about images that were not read."""
    return note.startswith(_SPLITS_AS_CLASSES)


def _splits_as_classes(class_names: Sequence[str], path: str) -> str:
    return (
        f"{_SPLITS_AS_CLASSES} {', '.join(class_names)}. If these are splits with a sub-folder for each class, write "
        f"image-folder:{printable(path)} instead of folder:{printable(path)}."
    )


def choose_held_out(labels: Sequence[int]) -> list[bool]:
    """Return which images are held out: in order, every fifth of each class.

    Where no class has five images, the last image of the largest class (the first such class) is held out.
    """
    seen: Counter[int] = Counter()
    chosen = []
    for label in labels:
        seen[label] += 1
        chosen.append(seen[label] % 5 == 0)
    if not any(chosen):
        largest = max(seen, key=lambda label: (seen[label], -label))
        chosen[max(i for i, label in enumerate(labels) if label == largest)] = True
    return chosen


def summarise_skipped(skipped: Sequence[str]) -> str:
    """Return a line that counts the unreadable files and names the first ten."""
    rest = f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
    return f"Skipped {len(skipped)} unreadable: {', '.join(skipped[:_NAMED])}{rest}."


def describe_left_out(left_out: Sequence[str]) -> str:
    """Return a line that counts the images left out because of their suffix, and names the first ten."""
    rest = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    images = "1 image was" if len(left_out) == 1 else f"{len(left_out)} images were"
    return (
        f"{images} left out because of the suffix: {', '.join(left_out[:_NAMED])}{rest}; "
        "rename them, for example to .jpg or .png"
    )


def incomplete_notes(root: Path, skipped: Sequence[str]) -> tuple[str, ...]:
    """Return the notes of a dataset about images that were skipped, or left out because of their suffix."""
    left_out = find_left_out(root)
    notes = [summarise_skipped(skipped)] if skipped else []
    return (*notes, *([f"{describe_left_out(left_out)}."] if left_out else []))


def printable(name: PurePath | str) -> str:
    """Return a file name that any terminal and JSON can represent: bytes that are not text are escaped."""
    text = name if isinstance(name, str) else name.as_posix()
    return text if text.isprintable() else ascii(text)[1:-1]
