"""`genbench.distance`: metrics between two sets of images, as `genbench fid` measures them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench.api.images import Images
from genbench.commands.arguments import PluginSource, plugin_paths, request_of
from genbench.commands.cell import Cell
from genbench.commands.device import select_present_device
from genbench.commands.weights import inception_weights
from genbench.data.progress import ignore_progress
from genbench.errors import UsageError
from genbench.imagesets.comparison import compare, extractors_of, find_metrics, save_statistics
from genbench.imagesets.evaluation import ImageSetEvaluation, ProgressDisplay
from genbench.imagesets.in_memory import memory_source
from genbench.imagesets.measured import Comparison
from genbench.imagesets.resolve import ImageSet, SamplingSettings, find_image_set
from genbench.planning.planner import plugins_behind
from genbench.planning.settings import Settings, check_settings
from genbench.plugins.catalogue import Catalogue, discover
from genbench.plugins.chosen_metrics import chosen_metrics, options_of
from genbench.plugins.recorded_files import Allowed
from genbench.plugins.worker_catalogue import load_catalogue


@dataclasses.dataclass(frozen=True)
class DistanceSettings:
    """How image sets are read and measured; the fields have the names of flags of `genbench fid`."""

    extractor: str | None = None
    weights: str | None = None
    device: str = "auto"
    batch_size: int = 50
    samples: int | None = None
    seed: int = 0
    n_real: int | None = None
    strict: bool = False
    plugins: Sequence[str] = ()
    trust_plugins: bool = False
    set: Settings = dataclasses.field(default_factory=dict)


def distance(
    real: object,
    fake: object,
    metrics: str | Sequence[str] | None = None,
    *,
    extractor: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 50,
    samples: int | None = None,
    seed: int = 0,
    n_real: int | None = None,
    strict: bool = False,
    set: Mapping[str, Any] | None = None,
    plugins: PluginSource | Sequence[PluginSource] = (),
    trust_plugins: bool = False,
) -> Comparison:
    """Measure the distance between two sets of images, with the functions and values of `genbench fid`.

    Each set is a path (a folder of images, an ``.npy`` or ``.npz`` of images, an ``.npz`` of statistics), the name of a
    dataset (``fashion-mnist-mini@test``), ``RUN:CELL``, a `Cell`, an array or tensor (uint8, or floats in [0, 1], as
    (N, C, H, W), (N, H, W, C) or (N, H, W)), `Images`, or a loader that yields such batches with four axes, alone or
    as the first of a tuple. Nothing is printed: warnings are in the result. Raises `UsageError` for an invalid request,
    `DataError` for images that cannot be used, and `NoDataError` where an extractor has no weights.

    Args:
        real: the reference.
        fake: the images to judge.
        metrics: ``fid``, ``kid``, ``is``, or ``fd``, ``kd``, ``prdc``, … of the extractor; by default, its Fréchet
            distance.
        extractor: feature extractor; by default ``inception``, with which that distance is FID.
        weights: path of the Inception weights.
        device: ``cpu``, ``cuda``, ``cuda:1``, …, ``mps``, ``xpu`` or ``auto``.
        batch_size: images per batch.
        samples: images to draw from a cell; by default, as many as its run.
        seed: seed for drawing from a cell.
        n_real: number of images behind `real`, where it is a file of statistics that does not state it.
        strict: raise `DataError` unless every image is read.
        set: options of metrics, as ``{"hill.order": 2}``.
        plugins: plugin files, or imported modules with a file of their own.
        trust_plugins: load the plugin files that a run directory names, whoever made it: their code runs.
    """
    settings = DistanceSettings(
        extractor, _text(weights), device, batch_size, samples, seed, n_real, strict, plugin_paths(plugins),
        trust_plugins, request_of({"set": set}).set,
    )  # fmt: skip
    found = measure_distance(real, fake, metrics, settings)
    assert found is not None
    return found


def save_image_statistics(
    real: object,
    path: str | Path,
    *,
    extractor: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 50,
    strict: bool = False,
    plugins: PluginSource | Sequence[PluginSource] = (),
) -> Path:
    """Write the feature statistics of a set of images to an ``.npz``, to use as `real` later or with pytorch-fid.

    The arguments are those of `distance`. Returns the path.
    """
    out = Path(path).expanduser()
    if out.suffix.lower() != ".npz":
        raise UsageError(f"{out} is not an .npz file.", "Use the suffix .npz.", code="GB710")
    settings = DistanceSettings(
        extractor, _text(weights), device, batch_size, strict=strict, plugins=plugin_paths(plugins)
    )
    measure_distance(real, None, None, settings, save_to=out)
    return out


def measure_distance(
    real: object,
    fake: object | None,
    metrics: str | Sequence[str] | None,
    settings: DistanceSettings,
    save_to: Path | None = None,
    show_progress: ProgressDisplay = lambda _title: contextlib.nullcontext(ignore_progress),
) -> Comparison | None:
    """Compare two image sets, and write the statistics of the first; without the second, return None."""
    require_numbers(settings)
    with inception_weights(settings.weights):
        catalogue = discover(settings.plugins)
        text = metrics if metrics is None or isinstance(metrics, str) else ",".join(metrics)
        specs = find_metrics(text, settings.extractor, catalogue)
        check_settings(settings.set, specs, catalogue)
        names, extractors = [spec.name for spec in specs], extractors_of(specs)
        if save_to is not None and len(extractors) != 1:
            raise UsageError(
                "--save-stats stores the features of one extractor only.",
                "Choose metrics of one extractor.",
                code="GB104",
            )
        evaluation, registry = image_set_evaluation(real, fake, settings, names, catalogue, show_progress)
        with contextlib.closing(evaluation):
            found = None
            if fake is not None:
                chosen = chosen_metrics(names, registry, options_of(specs, settings.set))
                known = [entry.spec for entry in registry.metrics.values()]
                found = compare(evaluation, chosen, settings.strict, known)
            if save_to is not None:
                save_statistics(evaluation, extractors[0], save_to, settings.strict)
    return found


def image_set_evaluation(
    real: object,
    fake: object | None,
    settings: DistanceSettings,
    metrics: Sequence[str],
    catalogue: Catalogue,
    show_progress: ProgressDisplay,
) -> tuple[ImageSetEvaluation, Catalogue]:
    """Return what measures the image sets, and the catalogue of the plugins imported for that."""
    device = select_present_device(settings.device)
    allowed = Allowed(settings.plugins, settings.trust_plugins)
    drawing = SamplingSettings(device, settings.samples, settings.seed, allowed)

    def resolved(images: object, name: str) -> ImageSet:
        if isinstance(images, Cell):
            images = f"{images.directory.path}:{images.id}"
        if isinstance(images, str | Path):
            return find_image_set(str(images), catalogue, drawing)
        pixels = images.pixels if isinstance(images, Images) else images
        return ImageSet(memory_source(pixels, f"`{name}`"))

    first = resolved(real, "real")
    if settings.n_real is not None and first.statistics is None:
        raise UsageError(
            f"--n-real is for a file of statistics, and REAL is a set of images: {first.title}.",
            "Drop --n-real.",
            code="GB104",
        )
    registry = _import_plugins(metrics, catalogue)
    evaluation = ImageSetEvaluation(
        real=first,
        fake=None if fake is None else resolved(fake, "fake"),
        device=device,
        batch_size=settings.batch_size,
        seed=settings.seed,
        extractors={name: entry.spec for name, entry in registry.extractors.items()},
        data=first.data,
        n_real=settings.n_real,
        show_progress=show_progress,
    )
    return evaluation, registry


def _import_plugins(metrics: Sequence[str], catalogue: Catalogue) -> Catalogue:
    """Import the plugins of these metrics and of their extractors into this process; return the catalogue of it."""
    needed = plugins_behind(catalogue, [("metrics", name) for name in metrics])
    return load_catalogue([dataclasses.asdict(plugin) for plugin in needed])


def require_numbers(settings: DistanceSettings) -> None:
    """Raise `UsageError` for a number that is out of range."""
    limits = (("batch_size", 1), ("samples", 1), ("n_real", 2), ("seed", 0))
    for name, lowest in limits:
        value = getattr(settings, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < lowest):
            raise UsageError(f"{name} = {value!r} is not valid.", f"It is a whole number, at least {lowest}.")


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
