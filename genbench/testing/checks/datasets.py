"""Rules of datasets."""

from __future__ import annotations

from genbench.api.specs import DatasetSpec, resolve
from genbench.data.loading import LoadedData, load_data
from genbench.errors import DataError
from genbench.plan.identity import origin
from genbench.results.cache import cache_directory
from genbench.results.schema import Choice
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject


@check(
    "dataset-contract",
    "datasets",
    what="Images are uint8 of the declared shape in two splits; labels, sizes and numbers of classes are as declared.",
    why="Plans are made from the declaration, before anything is loaded.",
    mend="Mend the spec or the loader: pixels uint8 (N, channels, height, width), labels whole numbers (N,).",
)
def dataset_contract(subject: Subject) -> None:
    """Load it as a run does."""
    spec, data = subject.spec, _load(subject)
    if spec.classes is not None and data.num_classes > spec.classes:
        raise RuleViolation(f"{spec.classes} classes are declared, and there are {data.num_classes}")
    if spec.train_size is not None and spec.train_size != len(data.train_pixels):
        raise RuleViolation(
            f"train_size is declared as {spec.train_size}, and there are {len(data.train_pixels)} images"
        )


@check(
    "dataset-repeats",
    "datasets",
    what="Loading twice gives the same images and labels in the same order.",
    why="Cells of one run load the data anew each; results compare only where their hashes agree.",
    mend="Sort the files, and draw from a generator with a fixed seed.",
    after=("dataset-contract",),
)
def dataset_repeats(subject: Subject) -> None:
    """Load it twice."""
    if _load(subject).hash != _load(subject).hash:
        raise RuleViolation("two loads give different data")


def _load(subject: Subject) -> LoadedData:
    spec: DatasetSpec = subject.spec
    values = subject.options("datasets", spec)
    if spec.argument is not None and not values[spec.argument]:
        raise NotApplicable(f"it needs a value for its option '{spec.argument}'")
    try:
        resolve(spec.load)(spec.make_options(values), cache_directory())
    except (DataError, OSError) as error:
        raise NotApplicable(f"its data are not at hand: {error}") from None
    choice = Choice(name=spec.name, options=values, origin=origin(subject.entry.plugin))
    return load_data(choice, spec.shape(values), subject.catalogue)
