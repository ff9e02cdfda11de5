"""How metrics are measured: each in isolation from the others, under the names and directions of its spec."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from genbench.api.evaluation import Estimate, Evaluation, ExtractorUnavailable, Unavailable, show_nothing
from genbench.api.specs import MetricSpec, resolve
from genbench.measure.user_frame import third_party_location
from genbench.metrics.evaluation import BrokenExtractor
from genbench.metrics.returned_values import Contract, failure, plain_text
from genbench.plugins.chosen_metrics import ChosenMetric
from genbench.plugins.metric_names import FeatureMetric
from genbench.process.worker_channel import ShowCount

Found = Estimate | Unavailable


def measure(
    metrics: Sequence[ChosenMetric],
    evaluation: Evaluation,
    reconstructs: bool,
    known: Iterable[MetricSpec] = (),
    show: ShowCount = show_nothing,
) -> tuple[list[Estimate], list[Unavailable]]:
    """Measure each metric; return the estimates and, for the metrics that gave none, the reasons.

    A metric that raises, or returns anything but a finite estimate of its own name and direction, does not affect the
    others. Metrics that need a reconstruction are left out where the family has none.

    Args:
        metrics: what to measure.
        evaluation: what they receive.
        reconstructs: whether the family reconstructs.
        known: all metrics there are, whose names no other metric may use.
        show: learns which metric is measured, and how many there are.
    """
    results = [found for _, each in measure_each(metrics, evaluation, reconstructs, known, show) for found in each]
    return (
        [found for found in results if isinstance(found, Estimate)],
        [found for found in results if isinstance(found, Unavailable)],
    )


def measure_each(
    metrics: Sequence[ChosenMetric],
    evaluation: Evaluation,
    reconstructs: bool,
    known: Iterable[MetricSpec] = (),
    show: ShowCount = show_nothing,
) -> list[tuple[str, list[Found]]]:
    """Return the same results by the requested metric's name; the estimates themselves may be named otherwise."""
    others = list(known)
    applicable = [chosen for chosen in metrics if reconstructs or not chosen.spec.needs_reconstruction]
    results = []
    for number, chosen in enumerate(applicable, 1):
        show(f"measuring {chosen.spec.name}", number, len(applicable))
        results.append((chosen, _measure_one(chosen, evaluation, others)))
    return [(chosen.spec.name, found) for chosen, found in _without_repeated(results)]


def call_metric(chosen: ChosenMetric, evaluation: Evaluation) -> object:
    """Return what the metric's `measure` returns."""
    spec = chosen.spec
    arguments: list[Any] = [spec.extractor] if isinstance(spec, FeatureMetric) else []
    if isinstance(spec.options, type):
        arguments.append(spec.make_options(chosen.options))
    return resolve(spec.measure)(evaluation, *arguments)


def several(spec: MetricSpec, found: object) -> Sequence[object]:
    """Return the results of one call of `measure`: several only where the spec says so."""
    return found if spec.direction == "each" and isinstance(found, Sequence) else [found]


def contract_of(chosen: ChosenMetric, evaluation: Evaluation, others: Iterable[MetricSpec] = ()) -> Contract:
    """Return what the results of this metric are held to, with the extractor that was loaded.

    The protocol of the extractor is added to that of a plugin's metric.
    """
    spec = chosen.spec
    if not isinstance(spec, FeatureMetric):
        return Contract(chosen, "", others)
    try:
        loaded = evaluation.extractor(spec.extractor)
    except ExtractorUnavailable:
        return Contract(chosen, spec.distance, others)
    return Contract(chosen, loaded.name, others, {} if chosen.own else {**loaded.protocol})


def _measure_one(chosen: ChosenMetric, evaluation: Evaluation, others: Sequence[MetricSpec]) -> list[Found]:
    name = chosen.spec.name
    if chosen.problem:
        return [Unavailable(name, chosen.problem, failed=True)]
    try:
        found = call_metric(chosen, evaluation)
        results = several(chosen.spec, found)
        contract = contract_of(chosen, evaluation, others)
    except ExtractorUnavailable as error:
        return [Unavailable(name, plain_text(error), failed=isinstance(error, BrokenExtractor))]
    except (Exception, SystemExit) as error:
        return [_failed(chosen, error)]
    return [contract.checked(one) for one in results]


def _failed(chosen: ChosenMetric, error: BaseException) -> Unavailable:
    """Return why a metric raised: for code of genbench in plain words, for a plugin's with the exception and its line.

    A ValueError of genbench's own metrics says that these images have no such value, which is not a failure.
    """
    name, where = chosen.spec.name, third_party_location(error)
    if not chosen.own or where:
        plugin = f"{chosen.plugin}: " if chosen.plugin else ""
        return Unavailable(name, f"{plugin}measure of '{name}' raised {failure(error)}{where}", failed=True)
    said = plain_text(error)
    if isinstance(error, ValueError) and said:
        return Unavailable(name, said)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        reason = "there was not enough memory to compute it; use fewer images or another device."
    else:
        reason = f"it could not be computed: {said}" if said else "it could not be computed."
    return Unavailable(name, reason, failed=True)


def _without_repeated(results: Sequence[tuple[ChosenMetric, list[Found]]]) -> list[tuple[ChosenMetric, list[Found]]]:
    """Return the results with each name once: that of genbench's own metric, or else of the first that gave it."""
    owners: dict[str, tuple[ChosenMetric, Found]] = {}
    for chosen, found in sorted(results, key=lambda result: not result[0].own):
        for one in found:
            owners.setdefault(one.metric, (chosen, one))
    kept: list[tuple[ChosenMetric, list[Found]]] = []
    for chosen, found in results:
        own: dict[tuple[str, bool], Found] = {}
        for one in found:
            owner, first = owners[one.metric]
            if owner is not chosen and _same_value(first, one):
                continue
            if owner is not chosen:
                reason = (
                    f"{chosen.plugin}: '{chosen.spec.name}' returned '{one.metric}', a name of the metric "
                    f"'{owner.spec.name}'; rename it, and declare it in `estimates`"
                )
                one = Unavailable(chosen.spec.name, reason.removeprefix(": "), failed=True)
            own.setdefault((one.metric, isinstance(one, Estimate)), one)
        kept.append((chosen, list(own.values())))
    return kept


def _same_value(one: Found, other: Found) -> bool:
    """Whether two extractors that loaded the same network gave the same value, under the same protocol."""
    return (
        isinstance(one, Estimate)
        and isinstance(other, Estimate)
        and (one.metric, one.value, one.protocol) == (other.metric, other.value, other.protocol)
    )
