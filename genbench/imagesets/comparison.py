"""Comparing two image sets: which metrics to measure, their values, and warnings about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from genbench.api.evaluation import (
    Estimate,
    ExtractorUnavailable,
    SetName,
    Unavailable,
)
from genbench.api.specs import ExtractorSpec, MetricSpec
from genbench.errors import DataError, NoDataError, UsageError
from genbench.features.statistics_file import write_statistics
from genbench.imagesets.evaluation import FAKE, REAL, ImageSetEvaluation
from genbench.imagesets.measured import Comparison, ImageSetReport
from genbench.metrics.measuring import measure
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.chosen_metrics import ChosenMetric
from genbench.plugins.metric_names import FeatureMetric

DEFAULT_EXTRACTOR = "inception"


def find_metrics(text: str | None, extractor: str | None, catalogue: Catalogue) -> list[MetricSpec]:
    """Return the metrics for --metrics, comma-separated names, and --extractor; by default FID.

    The name of a metric that is measured per extractor, such as `prdc`, means that metric with the extractor; a full
    name includes its own extractor. Raises `UsageError` for an unknown name, for a metric that needs more than two
    image sets, and for an extractor that no metric uses.
    """
    chosen: ExtractorSpec = catalogue.require("extractors", extractor or DEFAULT_EXTRACTOR).spec
    found: dict[str, MetricSpec] = {}
    for name in ["fd"] if text is None else [part.strip() for part in text.split(",") if part.strip()]:
        spec: MetricSpec = catalogue.require("metrics", name).spec
        spec = _with_extractor(spec, chosen, catalogue) if spec.per_extractor else spec
        needs = [what for flag, what in _NEEDS_MORE.items() if getattr(spec, flag)]
        if needs:
            raise UsageError(
                f"'{name}' cannot be measured between two image sets: it needs {needs[0]}.",
                _choices(catalogue),
                code="GB602",
            )
        found[spec.name] = spec
    if not found:
        raise UsageError("--metrics is empty.", _choices(catalogue), code="GB102")
    if extractor is not None and extractor not in extractors_of([*found.values()]):
        free = [name for name, entry in catalogue.metrics.items() if entry.spec.per_extractor]
        raise UsageError(
            f"No metric uses --extractor {extractor}.",
            f"Use a metric without an extractor in its name: {', '.join(free)}.",
            code="GB602",
        )
    return [*found.values()]


_NEEDS_MORE = {  # fields of a MetricSpec, and what they mean
    "needs_reconstruction": "reconstructions, which only a model makes",
    "needs_bound": "a likelihood, which only a model has",
    "needs_modes": "a dataset with known modes",
    "needs_factors": "a dataset with known factors of variation",
}


def extractors_of(specs: Sequence[MetricSpec]) -> list[str]:
    """Return the extractors of these metrics, each once."""
    return list(dict.fromkeys(spec.extractor for spec in specs if isinstance(spec, FeatureMetric)))


def _choices(catalogue: Catalogue) -> str:
    """Return what to choose from: a metric that is measured per extractor has one name, not one for each of them."""
    specs = [entry.spec for entry in catalogue.metrics.values()]
    short = [spec.name for spec in specs if not isinstance(spec, FeatureMetric)]
    names = [name for name in short if not any(getattr(catalogue.metrics[name].spec, flag) for flag in _NEEDS_MORE)]
    return f"Choose from: {', '.join(sorted(names))}; with the extractor in the name: `genbench list metrics`."


def _with_extractor(spec: MetricSpec, extractor: ExtractorSpec, catalogue: Catalogue) -> MetricSpec:
    for entry in catalogue.metrics.values():
        one = entry.spec
        if isinstance(one, FeatureMetric) and (one.base, one.extractor) == (spec.name, extractor.name):
            return one
    raise UsageError(
        f"'{spec.name}' needs classes, but '{extractor.name}' is not a classifier.",
        "Choose another --extractor.",
        code="GB602",
    )


def compare(
    evaluation: ImageSetEvaluation, metrics: Sequence[ChosenMetric], strict: bool, known: Sequence[MetricSpec] = ()
) -> Comparison:
    """Measure the metrics; `known` are all there are, whose names no other may use.

    Only metrics of plugins, and those without an extractor, can read pixels: they are then all in memory. Raises
    `DataError` where an image set cannot be read (with `strict`: completely), and `NoDataError` where an extractor has
    no weights.
    """
    specs = [chosen.spec for chosen in metrics]
    for name in extractors_of(specs):
        bases = {spec.base for spec in specs if isinstance(spec, FeatureMetric) and spec.extractor == name}
        _extract(evaluation, name, strict, statistics_suffice=bases == {"fd"})
    if not extractors_of(specs):
        evaluation.read_pixels()
    if strict:
        require_complete(evaluation)
    estimates: list[Estimate] = []
    unavailable: list[Unavailable] = []
    for chosen in metrics:
        evaluation.gives_pixels = not (chosen.own and isinstance(chosen.spec, FeatureMetric))
        found, missing = measure([chosen], evaluation, reconstructs=False, known=known)
        estimates += found
        unavailable += missing
    evaluation.gives_pixels = False
    return Comparison(
        real=report_of(evaluation, REAL),
        fake=report_of(evaluation, FAKE),
        estimates=tuple(_name_reference(estimate, evaluation.counts[REAL]) for estimate in estimates),
        unavailable=tuple(unavailable),
        warnings=tuple(_warnings(evaluation, specs)),
    )


def save_statistics(evaluation: ImageSetEvaluation, extractor: str, path: Path, strict: bool) -> None:
    """Write the statistics of the first image set and their protocol, reading the set if necessary.

    Raises the errors of `compare`, and `UsageError` where the file cannot be written.
    """
    if REAL not in evaluation.reports:
        _extract(evaluation, extractor, strict, statistics_suffice=True)
    loaded = evaluation.extractor(extractor)
    spec = {**loaded.protocol, "extractor": loaded.name, "images": evaluation.image_sets[REAL].title}
    try:
        write_statistics(path, evaluation.statistics(extractor, REAL), spec)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror or error}.", "Choose another --save-stats.", code="GB702"
        ) from error


def _extract(evaluation: ImageSetEvaluation, extractor: str, strict: bool, statistics_suffice: bool) -> None:
    try:
        evaluation.extract(extractor, statistics_suffice)
    except ExtractorUnavailable as error:
        raise no_extractor(extractor, error) from error
    if strict:
        require_complete(evaluation)


def no_extractor(extractor: str, error: ExtractorUnavailable) -> NoDataError:
    """Return the error to raise where an extractor is not available."""
    return NoDataError(f"{str(error)[:1].upper()}{str(error)[1:]}.", _remedy(extractor), code="GB603")


def _remedy(extractor: str) -> str:
    if not extractor.startswith(DEFAULT_EXTRACTOR):
        return ""
    return (
        "Or use an extractor that ships with genbench, --extractor fashion-cnn; its distance is called "
        "fd-fashion-cnn and is not FID."
    )


def require_complete(evaluation: ImageSetEvaluation) -> None:
    """Raise `DataError` where not every image of a set was read."""
    for images, report in evaluation.reports.items():
        if not report.complete:
            raise DataError(
                f"{evaluation.image_sets[images].title}: {'; '.join(report.warnings())}.",
                "Repair or remove these, or drop --strict.",
            )


def report_of(evaluation: ImageSetEvaluation, images: SetName) -> ImageSetReport:
    """Return what was read of a set."""
    report = evaluation.reports[images]
    return ImageSetReport(
        title=evaluation.image_sets[images].title,
        n=evaluation.counts[images],
        skipped=report.skipped,
        skipped_named=tuple(report.named),
        image_shapes=tuple("×".join(map(str, shape)) for shape, _ in report.shapes.most_common()),
        left_out=len(report.left_out),
        from_cache=images in evaluation.from_cache,
    )


def _name_reference(estimate: Estimate, n: int | None) -> Estimate:
    """Name the first image set, of `n` images, as the reference, where the metric names a split."""
    protocol = dict(estimate.protocol)
    if "reference_split" in protocol:
        protocol["reference_split"] = "first side"
        if n is None:
            protocol.pop("n_reference", None)
    return dataclasses.replace(estimate, protocol=protocol)


def _warnings(evaluation: ImageSetEvaluation, specs: Sequence[MetricSpec]) -> list[str]:
    distances = [spec for spec in specs if isinstance(spec, FeatureMetric) and spec.base == "fd"]
    found = reading_warnings(evaluation)
    if distances:
        found += [
            f"{evaluation.image_sets[images].title} does not state how many images it was made from, so the score of a "
            f"perfect generator is unknown{'; give the number with --n-real' * (images == REAL)}"
            for images in (REAL, FAKE)
            if evaluation.counts[images] is None
        ]
    for name in extractors_of(specs):
        loaded = evaluation.extractor(name)
        d = len(evaluation.statistics(name, FAKE).mean)
        few = [n for n in evaluation.counts.values() if n is not None and n <= d]
        if few and distances:
            found.append(few_images(min(few), d, name))
        if name.startswith(DEFAULT_EXTRACTOR) and not loaded.name.startswith("fid"):
            found.append(other_weights(loaded.name))
    return found


def reading_warnings(evaluation: ImageSetEvaluation) -> list[str]:
    """Return warnings about the reading of both sets, and how their sizes and colours differ."""
    read = [
        f"{evaluation.image_sets[images].title}: {warning}"
        for images in (REAL, FAKE)
        for warning in evaluation.reports[images].warnings()
    ]
    return read + _differences(evaluation)


def few_images(n: int, d: int, extractor: str) -> str:
    """Return the warning that there are no more images than features."""
    return (
        f"{n} images are not more than the {d} features of {extractor}: the covariance is singular, and the "
        "distance depends on the number of images more than on their content"
    )


def other_weights(metric: str) -> str:
    """Return the warning that the weights of Inception are not the published ones."""
    return f"these are not the published weights: the distance is called {metric} and is not FID"


def _differences(evaluation: ImageSetEvaluation) -> list[str]:
    """Return how the channels and sizes of the two image sets differ."""
    real, fake = (evaluation.reports[images].shapes for images in (REAL, FAKE))
    if not real or not fake:
        return []
    found = []
    channels = [{shape[0] for shape in side} for side in (real, fake)]
    sizes = [{shape[1:] for shape in side} for side in (real, fake)]
    kinds = {1: "grey", 3: "colour"}
    if channels[0] != channels[1]:
        names = [" and ".join(kinds[one] for one in sorted(side)) for side in channels]
        found.append(f"the first image set is {names[0]}, the second {names[1]}")
    if sizes[0] != sizes[1]:
        names = [_sizes(side) for side in sizes]
        found.append(
            f"the first image set has images of {names[0]}, the second of {names[1]} (height×width): resizing leaves "
            "traces that affect the distance"
        )
    return found


def _sizes(sizes: set[tuple[int, int]]) -> str:
    if len(sizes) > 3:
        return f"{len(sizes)} sizes"
    return ", ".join("×".join(map(str, size)) for size in sorted(sizes))
