"""Comparing two sides: which metrics are meant, what they say, and what a reader must know of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
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
from genbench.imagesets.evaluation import FAKE, REAL, SidesEvaluation
from genbench.metrics.evaluation import measure
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.feature_metrics import FEATURE_METRICS, PREFIXES, FeatureMetric

DEFAULT_EXTRACTOR = "inception"


@dataclass(frozen=True)
class Measurement:
    """One metric of the features of one extractor."""

    spec: MetricSpec
    kind: FeatureMetric
    extractor: ExtractorSpec


@dataclass(frozen=True)
class SideReport:
    """What became of one side."""

    title: str
    n: int | None
    skipped: int = 0
    skipped_named: tuple[str, ...] = ()
    image_shapes: tuple[str, ...] = ()
    from_cache: bool = False  # its statistics were known: its images were not read


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    real: SideReport
    fake: SideReport
    estimates: tuple[Estimate, ...]
    unavailable: tuple[Unavailable, ...] = ()
    warnings: tuple[str, ...] = ()


def find_measurements(text: str | None, extractor: str | None, catalogue: Catalogue) -> list[Measurement]:
    """Return what --metrics, names with commas between, and --extractor ask for; by default the distance of Inception.

    A bare prefix, such as `prdc`, means the measurement with the extractor; a full name says its extractor itself.
    Raises `UsageError` for a name that is none of these, and for an extractor that no metric uses.
    """
    chosen: ExtractorSpec = catalogue.require("extractors", extractor or DEFAULT_EXTRACTOR).spec
    known = {
        metric.name(entry.spec): (metric, entry.spec)
        for entry in catalogue.extractors.values()
        for metric in FEATURE_METRICS
        if metric.name(entry.spec) in catalogue.metrics
    }
    found: dict[str, Measurement] = {}
    for name in ["fd"] if text is None else [part.strip() for part in text.split(",") if part.strip()]:
        if name in PREFIXES:
            name = _with(PREFIXES[name], chosen)
        if name not in known:
            catalogue.require("metrics", name)
            raise UsageError(
                f"'{name}' is not measured between two sets of images.", f"These are: {', '.join(sorted(known))}."
            )
        kind, spec = known[name]
        found[name] = Measurement(catalogue.metrics[name].spec, kind, spec)
    if not found:
        raise UsageError("--metrics names none.", f"Choose from: {', '.join(sorted(known))}.")
    if extractor is not None and all(one.extractor.name != extractor for one in found.values()):
        raise UsageError(
            f"No metric uses --extractor {extractor}.",
            f"Write a name without an extractor: {', '.join(PREFIXES)}.",
        )
    return list(found.values())


def _with(metric: FeatureMetric, extractor: ExtractorSpec) -> str:
    if metric.needs_classes and not extractor.classifies:
        raise UsageError(
            f"'{metric.prefix}' needs classes, and '{extractor.name}' tells none apart.", "Choose another --extractor."
        )
    return metric.name(extractor)


def compare(evaluation: SidesEvaluation, measurements: Sequence[Measurement], strict: bool) -> Comparison:
    """Return what the metrics say.

    Raises `DataError` where a side cannot be read, or under `strict` not all of it, and `NoDataError` where an
    extractor has no weights.
    """
    for name in dict.fromkeys(one.extractor.name for one in measurements):
        kinds = {one.kind.prefix for one in measurements if one.extractor.name == name}
        _take(evaluation, name, strict, statistics_suffice=kinds == {"fd"})
    estimates, unavailable = measure([one.spec for one in measurements], evaluation, reconstructs=False)
    return Comparison(
        real=_report(evaluation, REAL),
        fake=_report(evaluation, FAKE),
        estimates=tuple(_between_sides(estimate) for estimate in estimates),
        unavailable=tuple(unavailable),
        warnings=tuple(_warnings(evaluation, measurements, estimates)),
    )


def save_statistics(evaluation: SidesEvaluation, extractor: str, path: Path, strict: bool) -> None:
    """Write the first side's statistics, with what they are of, reading it where that has not been done.

    Raises as `compare` does, and `UsageError` where the file cannot be written.
    """
    if REAL not in evaluation.accounts:
        _take(evaluation, extractor, strict, statistics_suffice=True)
    loaded = evaluation.extractor(extractor)
    spec = {**loaded.protocol, "extractor": loaded.name, "images": evaluation.sides[REAL].title}
    try:
        write_statistics(path, evaluation.statistics(extractor, REAL), spec)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.", "Choose another --save-stats.") from error


def _take(evaluation: SidesEvaluation, extractor: str, strict: bool, statistics_suffice: bool) -> None:
    try:
        evaluation.take(extractor, statistics_suffice)
    except ExtractorUnavailable as error:
        raise NoDataError(f"{str(error)[:1].upper()}{str(error)[1:]}.", _cure(extractor)) from error
    if strict:
        _require_flawless(evaluation)


def _cure(extractor: str) -> str:
    if not extractor.startswith(DEFAULT_EXTRACTOR):
        return ""
    return (
        "Or use an extractor that ships with genbench, --extractor fashion-cnn: its number has another name, "
        "fd-fashion-cnn, and is no FID."
    )


def _require_flawless(evaluation: SidesEvaluation) -> None:
    for images, account in evaluation.accounts.items():
        if not account.flawless:
            raise DataError(
                f"{evaluation.sides[images].title}: {'; '.join(account.warnings())}.",
                "Repair or remove these, or leave --strict away.",
            )


def _report(evaluation: SidesEvaluation, images: SetName) -> SideReport:
    account = evaluation.accounts[images]
    return SideReport(
        title=evaluation.sides[images].title,
        n=evaluation.counts[images],
        skipped=account.skipped,
        skipped_named=tuple(account.named),
        image_shapes=tuple("×".join(map(str, shape)) for shape, _ in account.shapes.most_common()),
        from_cache=images in evaluation.from_cache,
    )


def _between_sides(estimate: Estimate) -> Estimate:
    """Say that the reference is the first side, where the metric speaks of a split."""
    protocol = dict(estimate.protocol)
    if "reference_split" in protocol:
        protocol["reference_split"] = "first side"
    return dataclasses.replace(estimate, protocol=protocol)


def _warnings(
    evaluation: SidesEvaluation, measurements: Sequence[Measurement], estimates: Sequence[Estimate]
) -> list[str]:
    found = [
        f"{evaluation.sides[images].title}: {warning}"
        for images in (REAL, FAKE)
        for warning in evaluation.accounts[images].warnings()
    ]
    found += _differences(evaluation)
    for name in dict.fromkeys(one.extractor.name for one in measurements):
        loaded = evaluation.extractor(name)
        d = len(evaluation.statistics(name, FAKE).mean)
        few = [n for n in evaluation.counts.values() if n is not None and n <= d]
        if few and any(one.kind.prefix == "fd" for one in measurements):
            found.append(
                f"{min(few)} images are no more than the {d} features of {name}: the covariance is singular, and the "
                "distance says more about the number of images than about them"
            )
        if name.startswith(DEFAULT_EXTRACTOR) and not loaded.name.startswith("fid"):
            found.append(f"these are not the published weights: the distance is called {loaded.name}, and is no FID")
    return found


def _differences(evaluation: SidesEvaluation) -> list[str]:
    """Return in what the images of the two sides differ before the network sees them."""
    real, fake = (evaluation.accounts[images].shapes for images in (REAL, FAKE))
    if not real or not fake:
        return []
    found = []
    channels = [{shape[0] for shape in side} for side in (real, fake)]
    sizes = [{shape[1:] for shape in side} for side in (real, fake)]
    said = {1: "grey", 3: "colour"}
    if channels[0] != channels[1]:
        names = [" and ".join(said[one] for one in sorted(side)) for side in channels]
        found.append(f"the first side is {names[0]}, the second {names[1]}")
    if sizes[0] != sizes[1]:
        names = [_sizes(side) for side in sizes]
        found.append(
            f"the first side has images of {names[0]}, the second of {names[1]} (height×width): resizing leaves traces "
            "that a distance measures"
        )
    return found


def _sizes(sizes: set[tuple[int, int]]) -> str:
    if len(sizes) > 3:
        return f"{len(sizes)} sizes"
    return ", ".join("×".join(map(str, size)) for size in sorted(sizes))
