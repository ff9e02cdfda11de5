"""From a planned dataset to checked tensors."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from genbench.api.evaluation import ExtractorData, show_nothing
from genbench.api.images import ImageData, Images, Shape, loading_shown
from genbench.api.specs import DatasetSpec, resolve
from genbench.data.content_hash import content_hash
from genbench.data.declaration import check_data
from genbench.data.image_cache import entry_path, read_entry, write_entry
from genbench.data.validation import validation_split
from genbench.errors import DataError
from genbench.plugins.calls import PluginFunction, defined_at
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Plugin
from genbench.process.worker_channel import ShowCount
from genbench.results.cache import cache_directory
from genbench.results.schema import Choice


@dataclass(frozen=True)
class LoadedData:
    """Both splits on the CPU, checked; labels are int64 (N,) or None."""

    train_pixels: Tensor  # uint8, (N, channels, height, width)
    train_labels: Tensor | None
    test_pixels: Tensor
    test_labels: Tensor | None
    num_classes: int  # 0: not labelled
    hash: str  # SHA-256 of everything above, which is all that a model sees
    notes: tuple[str, ...]
    class_names: tuple[str, ...] = ()
    mapped: bool = False  # whether the pixels are in a cache file, mapped read-only
    factors: Mapping[str, Tensor] = field(default_factory=dict)  # of variation, for the held-out images: name -> (N,)

    @property
    def train(self) -> Images:
        """The training images."""
        return Images(self.train_pixels, self.train_labels)

    @property
    def test(self) -> Images:
        """The held-out images."""
        return Images(self.test_pixels, self.test_labels)

    def for_extractors(self, dataset: str) -> ExtractorData:
        """Return the data for an extractor that is trained on this dataset."""
        return ExtractorData(dataset, self.hash, self.train, self.test, cache_directory(), self.class_names)


def load_data(choice: Choice, shape: Shape, catalogue: Catalogue, show: ShowCount = show_nothing) -> LoadedData:
    """Load a dataset and check that it matches its spec; raise `DataError` where it does not.

    Where the dataset has a signature, its images are stored in the cache and memory-mapped from there; where the cache
    cannot be written, a note says so. With the split 'validation', see `validation_split`. `show` learns how far a
    download is.
    """
    with loading_shown(show):
        loaded = _load(choice, shape, catalogue)
    return validation_split(loaded) if choice.split == "validation" else loaded


def _load(choice: Choice, shape: Shape, catalogue: Catalogue) -> LoadedData:
    entry = catalogue.require("datasets", choice.name)
    spec: DatasetSpec = entry.spec
    cache, options = cache_directory(), spec.make_options(choice.options)
    entry_before = _cache_entry(spec, entry.plugin, choice, options, cache)
    cached = _read_cached(entry_before, spec, shape)
    if cached is not None:
        return cached
    load = dataset_loader(spec)
    loaded = load(options, cache)
    if not isinstance(loaded, ImageData):
        raise load.returned(loaded, "a genbench.ImageData", "Return genbench.ImageData(train=…, test=…).")
    with _stating(defined_at(load)):
        checked = check_data(loaded, spec, shape)
    entry_after = _cache_entry(spec, entry.plugin, choice, options, cache)  # a download creates the first signature
    if entry_after is None or entry_before not in (None, entry_after):
        return _describe(checked, spec, content_hash(_tensors(checked)))
    try:
        found = write_entry(entry_after, checked)
    except (OSError, ValueError) as error:  # ValueError: a note, or the name of a class, is not text
        reason = getattr(error, "strerror", None) or str(error)
        note = f"the prepared images could not be stored in {entry_after.parent} ({reason})"
        noted = replace(checked, notes=(*checked.notes, note))
        return _describe(noted, spec, content_hash(_tensors(checked)))
    del loaded
    return _read_cached(entry_after, spec, shape) or _describe(checked, spec, found)


def dataset_loader(spec: DatasetSpec) -> PluginFunction:
    """Return the function that loads the dataset, to be called with options and a cache directory."""
    return PluginFunction(f"dataset '{spec.name}'", "load(options, cache)", resolve(spec.load))


def _cache_entry(spec: DatasetSpec, plugin: Plugin, choice: Choice, options: Any, cache: Path) -> Path | None:
    """Return the path of these images in the cache; None where the dataset does not use the cache."""
    if spec.signature is None:
        return None
    function = PluginFunction(f"dataset '{spec.name}'", "signature(options, cache)", resolve(spec.signature))
    signature = function(options, cache)
    if not isinstance(signature, str):
        raise function.returned(signature, "text")
    if not signature:
        return None
    sources = f"{signature}\n{_code_hash(resolve(spec.load))}"
    return entry_path(cache, spec.name, f"{plugin.distribution} {plugin.version}", choice.options, sources)


def _code_hash(load: Callable[..., Any]) -> str:
    """Return the hash of the source file of a loader, which its author may be changing."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(load))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except (OSError, TypeError):  # no file, as in an archive; or a callable object that is no function
        return ""


def _read_cached(path: Path | None, spec: DatasetSpec, shape: Shape) -> LoadedData | None:
    found = None if path is None else read_entry(path)
    if found is None:
        return None
    try:
        return _describe(check_data(found[0], spec, shape), spec, found[1], mapped=True)
    except DataError:  # the declaration has changed: prepare it again
        return None


@contextmanager
def _stating(place: str) -> Iterator[None]:
    """Add the place where the loader is defined to errors about what it returned."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error.cause.removesuffix('.')}{place}.", error.cure, code=error.code) from error


def _describe(data: ImageData, spec: DatasetSpec, found_hash: str, mapped: bool = False) -> LoadedData:
    train_pixels, train_labels, test_pixels, test_labels = _tensors(data)
    assert train_pixels is not None and test_pixels is not None
    num_classes = 0
    if train_labels is not None:
        highest = max(int(labels.max()) for labels in (train_labels, test_labels) if labels is not None)
        num_classes = max(spec.classes or 0, len(data.class_names), highest + 1)
    return LoadedData(
        train_pixels=train_pixels,
        train_labels=train_labels,
        test_pixels=test_pixels,
        test_labels=test_labels,
        num_classes=num_classes,
        hash=found_hash,
        notes=tuple(data.notes),
        class_names=tuple(data.class_names),
        mapped=mapped,
        factors=data.factors,
    )


def _tensors(data: ImageData) -> tuple[Tensor | None, ...]:
    """Return the tensors of checked data in the order in which they are hashed."""
    found: Any = (data.train.pixels, data.train.labels, data.test.pixels, data.test.labels)
    return tuple(found)
