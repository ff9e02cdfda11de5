"""Resolving REAL and FAKE: a folder, a file of images or of statistics, a dataset, or a trained cell."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import DataError, UsageError, near_miss
from genbench.imagesets.array_file import holds_statistics, npy_source, npz_source
from genbench.imagesets.generated import (
    SPLITS,
    Split,
    cell_source,
    dataset_source,
)
from genbench.imagesets.image_folder import folder_source
from genbench.imagesets.source import ImageSource
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.recorded_files import RECORDED_ONLY, Allowed
from genbench.results.store import RunDirectory

if TYPE_CHECKING:
    import torch

    from genbench.api.evaluation import ExtractorData

FORMS = (
    "An image set is a folder of images, an .npy or .npz of images, an .npz of statistics (mu, sigma), a dataset "
    "(DATASET@train or DATASET@test), or RUN:CELL."
)


@dataclass(frozen=True)
class ImageSet:
    """One of the two arguments."""

    images: ImageSource | None  # None: only statistics are known
    statistics: Path | None = None  # a file of statistics
    data: ExtractorData | None = None  # where it is a dataset

    @property
    def title(self) -> str:
        """The name shown to the user."""
        return self.images.title if self.images is not None else f"statistics {self.statistics}"


@dataclass(frozen=True)
class SamplingSettings:
    """How samples are drawn from a trained cell."""

    device: torch.device
    count: int | None = None  # None: as many as its run drew
    seed: int = 0
    allowed: Allowed = RECORDED_ONLY  # plugin files of a run directory


def find_image_set(text: str, catalogue: Catalogue, sampling: SamplingSettings) -> ImageSet:
    """Return the image set that a text refers to.

    The suffix .npy or .npz denotes a file. The name of a known dataset, optionally with a ``:argument`` and a
    ``@split``, is a dataset; where a file of that name exists too, that is an error: ``./NAME`` is the folder,
    ``NAME@train`` the dataset. Otherwise it is ``RUN:CELL`` or a folder. Raises `UsageError` where it is none of these.
    """
    path = _path(text)
    if path.suffix.lower() in (".npy", ".npz") and not path.is_dir():
        return _file(text, path)
    name, split = _split(text)
    run, colon, cell = text.rpartition(":")
    if colon and (_path(run) / "run.json").is_file():
        if run in catalogue.datasets:
            raise UsageError(
                f"'{run}' is both a dataset and a run.", f"Write .{os.sep}{text} for the cell of the run.", code="GB107"
            )
        directory = RunDirectory.open(_path(run))
        planned = directory.find_cell(cell)
        source = cell_source(directory, planned, sampling.count, sampling.seed, sampling.device, sampling.allowed)
        return ImageSet(source)
    if name.partition(":")[0] in catalogue.datasets:
        if name == text and path.exists():
            raise UsageError(
                f"'{text}' is both a dataset and a {'folder' if path.is_dir() else 'file'}.",
                f"Write {text}@train for the dataset, or .{os.sep}{text} for the folder.",
                code="GB107",
            )
        images, data = dataset_source(name, split, catalogue)
        return ImageSet(images, data=data)
    if path.is_dir():
        if (path / "run.json").is_file():
            cells = ", ".join(cell.id for cell in RunDirectory.open(path).record.cells)
            raise UsageError(
                f"{text} is a run, which has several cells.",
                f"Write {text}:CELL. The cells are: {cells}.",
                code="GB107",
            )
        return ImageSet(folder_source(path))
    raise _unknown(text, path, name, catalogue)


def _file(text: str, path: Path) -> ImageSet:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, _neighbours(path), n=1)
        raise DataError(
            f"The file {text} does not exist.{f' Did you mean {path.with_name(near[0])}?' if near else ''}",
            FORMS,
            code="GB701",
        )
    if path.suffix.lower() == ".npy":
        return ImageSet(npy_source(path))
    if holds_statistics(path):
        return ImageSet(None, statistics=path)
    return ImageSet(npz_source(path))


def _split(text: str) -> tuple[str, Split]:
    for split in SPLITS:
        if text.endswith(f"@{split}"):
            return text.removesuffix(f"@{split}"), split
    return text, "train"


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user after ~
        return Path(text)


def _neighbours(path: Path) -> list[str]:
    try:
        return [other.name for other in path.parent.iterdir()]
    except OSError:
        return []


def _unknown(text: str, path: Path, name: str, catalogue: Catalogue) -> UsageError:
    tried = [f"there is no folder {text}"]
    if path.is_file():
        tried = [f"the file {text} is neither .npy nor .npz"]
    claims = catalogue.quarantined_claims("datasets", name)
    dataset = name.partition(":")[0]
    if claims:
        tried.append(f"the dataset '{dataset}' is registered by the {claims[0].explanation}")
    else:
        tried.append(f"no dataset '{dataset}'")
    run, colon, _ = text.rpartition(":")
    if colon and run:
        tried.append(f"no run {run}")
    hint = near_miss(dataset, [*catalogue.datasets, *_neighbours(path)])
    return UsageError(f"Unknown image set '{text}': {', '.join(tried)}.{hint}", FORMS, code="GB101")
