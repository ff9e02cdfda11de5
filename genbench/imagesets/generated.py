"""Images that are not read from image files: a split of a dataset, and samples of a trained cell."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

import msgspec
import torch
from torch import Tensor

from genbench.api.evaluation import ExtractorData
from genbench.builtin.datasets.folder import is_advice
from genbench.data.loading import load_data
from genbench.data.progress import Progress
from genbench.datacheck.target import find_target
from genbench.errors import DataError, UsageError
from genbench.imagesets.source import ImageSource, ReadReport
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.recorded_files import Allowed
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.results.schema import PlannedCell
from genbench.results.store import RunDirectory
from genbench.sampling.checkpoint_model import load_trained
from genbench.sampling.generate import generate_in_blocks

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


def dataset_source(name: str, split: Split, catalogue: Catalogue) -> tuple[ImageSource, ExtractorData]:
    """Return one split of a dataset, and the data for an extractor that is trained on it.

    `name` has the form of `genbench run --datasets`. Raises `UsageError` for a dataset of 2-D points or noise, and
    `DataError` where it cannot be loaded.
    """
    target = find_target(name, {}, catalogue)
    if target.spec.points or target.spec.synthetic:
        raise UsageError(
            f"The dataset '{name}' contains no real images.",
            "Choose another; see `genbench list datasets`.",
            code="GB306",
        )
    plugin = target.plugin
    registry = load_catalogue([] if plugin.origin == "builtin" else [dataclasses.asdict(plugin)])
    choice = target.choice
    if target.folder is not None:
        choice = msgspec.structs.replace(choice, options={**choice.options, "path": str(target.folder)})
    data = load_data(choice, target.shape, registry)
    pixels = (data.train if split == "train" else data.test).pixels

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        # notes are about files that were not read when it was loaded, except advice about the layout
        report.faults += [note for note in data.notes if not is_advice(note)]
        report.notes += [note for note in data.notes if is_advice(note)]
        yield from _pieces(torch.as_tensor(pixels), size, report, progress)

    source = ImageSource(f"dataset {name}, {split}", len(pixels), batches, lambda: data.hash, split)
    return source, data.for_extractors(name)


def cell_source(
    run: RunDirectory,
    cell: PlannedCell,
    count: int | None,
    seed: int,
    device: torch.device,
    allowed: Allowed,
) -> ImageSource:
    """Return samples of a trained cell, drawn each time they are read: `count`, or as many as its run drew.

    Raises `NoDataError` where it has no weights, and `UsageError` where it generates 2-D points.
    """
    trained = load_trained(run, cell, device, allowed=allowed)
    if trained.points:
        raise UsageError(
            f"{cell.id} generates 2-D points, not images.", "Choose a cell of another dataset.", code="GB306"
        )
    number = count or trained.recipe.samples

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        done = 0
        for block in generate_in_blocks(trained, number, seed):
            report.shapes[tuple(block.shape[1:])] += len(block)  # type: ignore[index]
            yield from torch.split(block, size)
            done += len(block)
            progress(done, number)
        report.notes += trained.notes

    return ImageSource(f"cell {cell.id} of {run.path}, seed {seed}", number, batches)


def _pieces(pixels: Tensor, size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
    channels, height, width = pixels.shape[1:]
    if channels not in (1, 3):
        raise DataError(
            f"Images with {channels} channels are not supported.",
            "Choose a dataset of grey or RGB images.",
            code="GB306",
        )
    for begin in range(0, len(pixels), size):
        piece = pixels[begin : begin + size]
        report.shapes[channels, height, width] += len(piece)
        yield piece
        progress(begin + len(piece), len(pixels))
