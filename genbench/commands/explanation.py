"""`genbench.explain_distance`: which choice of a protocol moves a distance, as `genbench fid --explain` says it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench.commands.arguments import PluginSource, plugin_paths
from genbench.commands.device import select_present_device
from genbench.commands.distance import DistanceSettings, image_set_evaluation, require_numbers
from genbench.commands.weights import inception_weights
from genbench.data.progress import ignore_progress
from genbench.imagesets.comparison import DEFAULT_EXTRACTOR, find_metrics
from genbench.imagesets.evaluation import REAL, ProgressDisplay
from genbench.imagesets.explain.explain import explain
from genbench.imagesets.explain.explanation import Explanation
from genbench.imagesets.explain.statement import parse_statement
from genbench.imagesets.generated import SPLITS
from genbench.imagesets.resolve import ImageSet, SamplingSettings, find_image_set
from genbench.imagesets.source import ImageSource
from genbench.plugins.catalogue import Catalogue, discover

Stated = str | Path | Mapping[str, Any]


def explain_distance(
    real: object,
    fake: object,
    protocol: Stated | None = None,
    *,
    extractor: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 50,
    samples: int | None = None,
    seed: int = 0,
    strict: bool = False,
    plugins: PluginSource | Sequence[PluginSource] = (),
    trust_plugins: bool = False,
) -> Explanation:
    """Measure the Fréchet distance under the protocols in use, and say which choice moves it by how much.

    The images are read once, and pass the network once for each distinct input: about 13 times without `protocol`. The
    image sets and the other arguments are those of `distance`; statistics do not suffice. Nothing is printed. Raises
    the errors of `distance`, and `UsageError` for a protocol that is not valid.

    Args:
        real: the reference; where it is a dataset, its other split is read too.
        fake: the images to judge.
        protocol: what a paper states: a text such as ``50k, train, pytorch-fid``, the path of a TOML file, or a mapping
            such as ``{"tool": "clean-fid", "n": 50_000}``. By default, all known tools are compared.
        extractor: feature extractor; by default ``inception``.
        weights: path of the Inception weights.
        device: ``cpu``, ``cuda``, ``cuda:1``, … or ``auto``.
        batch_size: images per batch.
        samples: images to draw from a cell; by default, as many as its run.
        seed: seed for drawing from a cell, and for choosing a part of the images.
        strict: raise `DataError` unless every image is read.
        plugins: plugin files, or imported modules with a file of their own.
        trust_plugins: load the plugin files that a run directory names, whoever made it: their code runs.
    """
    settings = DistanceSettings(
        extractor, None if weights is None else str(weights), device, batch_size, samples, seed, None, strict,
        plugin_paths(plugins), trust_plugins,
    )  # fmt: skip
    return measure_explanation(real, fake, protocol, settings)


def measure_explanation(
    real: object,
    fake: object,
    protocol: Stated | None,
    settings: DistanceSettings,
    show_progress: ProgressDisplay = lambda _title: contextlib.nullcontext(ignore_progress),
) -> Explanation:
    """Explain the distance between two image sets."""
    require_numbers(settings)
    with inception_weights(settings.weights):
        catalogue = discover(settings.plugins)
        statement = None if protocol is None else parse_statement(protocol, [*catalogue.extractors])
        chosen = settings.extractor or DEFAULT_EXTRACTOR
        stated = None if statement is None else statement.choices.get("extractor")
        extractors = [chosen, *([stated] if isinstance(stated, str) else [])]
        names = [spec.name for one in extractors for spec in find_metrics("fd", one, catalogue)]
        evaluation, _ = image_set_evaluation(real, fake, settings, list(dict.fromkeys(names)), catalogue, show_progress)
        first = evaluation.image_sets[REAL]
        split = "" if first.images is None else first.images.split
        references = _references(real, first, split, settings, catalogue)
        with contextlib.closing(evaluation):
            return explain(evaluation, chosen, references, split, statement, settings.strict)


def _references(
    real: object, first: ImageSet, split: str, settings: DistanceSettings, catalogue: Catalogue
) -> dict[str, ImageSource]:
    """Return the reference by split: both of a dataset, or the images as they are."""
    if first.images is None:
        return {}
    if not split:
        return {"": first.images}
    drawing = SamplingSettings(select_present_device(settings.device))
    name = str(real).removesuffix(f"@{split}")
    found = {one: first if one == split else find_image_set(f"{name}@{one}", catalogue, drawing) for one in SPLITS}
    return {one: other.images for one, other in found.items() if other.images is not None}
