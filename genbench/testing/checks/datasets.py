"""Rules of datasets."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.specs import DatasetSpec, resolve
from genbench.data.loading import LoadedData, dataset_loader, load_data
from genbench.errors import DataError
from genbench.planning.identity import origin
from genbench.plugins.calls import PluginFunction
from genbench.results.cache import cache_directory
from genbench.results.schema import Choice
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject


@check(
    "dataset-contract",
    "datasets",
    what="There are two splits of uint8 images; shape, labels, sizes, classes and modes are as declared.",
    why="Runs are planned from the declaration, before anything is loaded.",
    fix="Correct the spec or the loader: pixels are uint8 (N, channels, height, width), labels are integers (N,).",
)
def dataset_contract(subject: Subject) -> None:
    """Load the dataset as a run does."""
    spec, data = subject.spec, _load(subject)
    if spec.classes is not None and data.num_classes > spec.classes:
        raise RuleViolation(f"declared {spec.classes} classes, found {data.num_classes}")
    if spec.train_size is not None and spec.train_size != len(data.train_pixels):
        raise RuleViolation(f"declared train_size={spec.train_size}, found {len(data.train_pixels)} training images")
    if spec.mode_of is not None:
        _check_modes(spec, data)


def _check_modes(spec: DatasetSpec, data: LoadedData) -> None:
    mode_of = PluginFunction(f"dataset '{spec.name}'", "mode_of(pixels)", resolve(spec.mode_of or ""))
    modes = mode_of(data.train_pixels)
    expected = f"int64 modes ({len(data.train_pixels)},), from -1 (none) to {(spec.modes or 0) - 1}"
    if not isinstance(modes, Tensor) or modes.dtype != torch.int64 or modes.shape != data.train_pixels.shape[:1]:
        raise mode_of.returned(modes, expected)
    if int(modes.min()) < -1 or int(modes.max()) >= (spec.modes or 0):
        raise mode_of.error(f"must return {expected}; it returned {int(modes.min())} to {int(modes.max())}")


@check(
    "dataset-repeats",
    "datasets",
    what="Loading twice gives the same images and labels in the same order.",
    why="Each cell loads the data again; results can be compared only if the hashes of the data agree.",
    fix="Sort the files, and use a generator with a fixed seed.",
    after=("dataset-contract",),
)
def dataset_repeats(subject: Subject) -> None:
    """Load the dataset twice."""
    if _load(subject).hash != _load(subject).hash:
        raise RuleViolation("loading twice gives different data")


def _load(subject: Subject) -> LoadedData:
    spec: DatasetSpec = subject.spec
    values = subject.options("datasets", spec)
    if spec.argument is not None and not values[spec.argument]:
        raise NotApplicable(f"it requires a value for the option '{spec.argument}'")
    try:
        dataset_loader(spec)(spec.make_options(values), cache_directory())
    except (DataError, OSError) as error:
        raise NotApplicable(f"its data are not available: {error}") from None
    choice = Choice(name=spec.name, options=values, origin=origin(subject.entry.plugin))
    return load_data(choice, spec.shape(values), subject.catalogue)
