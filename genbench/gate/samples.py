"""The values of a metric over seeds, cell by cell, from stored runs: what statistics over seeds and datasets need."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genbench.api.evaluation import Direction, Estimate
from genbench.errors import NoDataError, UsageError, near_miss
from genbench.results.cell_names import cell_name, without_dataset
from genbench.results.schema import CellResult, PlannedCell
from genbench.results.store import RunContents
from genbench.stats.variance_components import VarianceComponents, variance_components

MEASURED = ("ok", "collapsed")


@dataclass(frozen=True)
class Sample:
    """One metric of one cell, over its seeds."""

    cell: str
    method: str  # the name of the cell without its dataset
    model: str
    dataset: str
    metric: str
    direction: Direction
    comparable: Hashable  # pixels and protocol: samples compare only if it is equal
    values: Mapping[int, float]  # by seed, all finite
    errors: Mapping[int, float | None]  # standard error of each value, from drawing samples
    samples: int  # from which each value was computed
    images: float  # trained on, mean over seeds
    seconds: float  # of a cell from start to end, mean over seeds
    left_out: tuple[str, ...] = ()  # seeds without a value, with the reason
    raced: bool = False  # a race decided how many seeds there are

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return statistics.mean(self.values.values())

    @property
    def components(self) -> VarianceComponents | None:
        """Training variance and sampling error apart; None for one seed, or if an error is unknown."""
        errors = [error for error in self.errors.values() if error is not None and 0 <= error < math.inf]
        if len(self.values) < 2 or len(errors) < len(self.values):
            return None
        return variance_components([*self.values.values()], errors)


def samples_of_runs(runs: Sequence[RunContents], metrics: Sequence[str] = ()) -> list[Sample]:
    """Return the samples of these metrics in the order of the plans, of all metrics if none is named.

    A metric is named in full, or by the part before its first hyphen if that is unambiguous: ``fd``. A seed that
    failed, or whose value is not finite, is left out and named. Raises `UsageError` for an unknown metric with the
    nearest name, and `NoDataError` if nothing was measured.
    """
    known = measured_metrics(runs)
    wanted = [*dict.fromkeys(_full_name(metric, known) for metric in metrics)] or known
    found: list[Sample] = []
    for metric in wanted:
        for run in runs:
            found += _samples_of_run(run, metric, f"{run.name}: " if len(runs) > 1 else "")
    return found


def measured_metrics(runs: Sequence[RunContents]) -> list[str]:
    """Return the metrics that some cell has, in the order in which they were measured; raise `NoDataError` if none."""
    known = [
        *dict.fromkeys(
            estimate.metric for run in runs for result in run.cells.results.values() for estimate in result.estimates
        )
    ]
    if not known:
        raise NoDataError(
            f"No cell of {', '.join(run.name for run in runs)} has metrics.",
            "Measure them: `genbench measure RUN`.",
            code="GB602",
        )
    return known


def usual_metric(known: Sequence[str]) -> str:
    """Return the metric that is meant if none is named: the FID, else the first Fréchet distance, else the first."""
    distances = [metric for metric in known if metric.startswith("fd-")]
    return "fid" if "fid" in known else [*distances, *known][0]


class Member(NamedTuple):
    """One seed of a cell."""

    planned: PlannedCell
    result: CellResult | None
    damage: str = ""  # why there is no result, if its file cannot be read


def samples_of_cell(
    name: str,
    members: Sequence[Member],
    metric: str,
    prefix: str = "",
    raced: bool = False,
) -> Iterator[Sample]:
    """Yield the sample of a metric over these seeds of a cell; several if some do not compare with the others.

    Args:
        name: of the cell, without the seed.
        members: at least one.
        metric: its full name.
        prefix: of the name, if cells of several runs are compared.
        raced: whether a race decided how many seeds there are.
    """
    by_group: dict[Hashable, list[tuple[CellResult, Estimate]]] = {}
    left_out: list[str] = []
    not_run = 0  # seeds that the race did not need
    for planned, result, damage in members:
        estimate = _estimate(result, metric)
        seed = f"seed {planned.identity.seed}"
        if raced and result is not None and result.status == "skipped":
            not_run += 1
        elif result is None or result.status not in MEASURED:
            left_out.append(f"{seed}: {(damage or 'never ran') if result is None else result.status}")
        elif estimate is None:
            left_out.append(f"{seed}: not measured")
        elif not estimate.finite:
            left_out.append(f"{seed}: {estimate.value:g}")
        else:
            by_group.setdefault(comparable_key(result, estimate), []).append((result, estimate))
    left_out += [f"{not_run} seeds: not run, as the race decided"] if not_run else []
    identity = members[0].planned.identity
    for group, own in by_group.items():
        yield Sample(
            cell=prefix + name,
            method=without_dataset(name, identity),
            model=identity.model.name,
            dataset=identity.dataset.name,
            metric=metric,
            direction=own[0][1].direction,
            comparable=group,
            values={result.identity.seed: estimate.value for result, estimate in own},
            errors={result.identity.seed: estimate.standard_error for result, estimate in own},
            samples=own[0][1].n,
            images=statistics.mean(result.images for result, _ in own),
            seconds=statistics.mean(result.durations.total for result, _ in own),
            left_out=tuple(left_out),
            raced=raced,
        )


def _samples_of_run(run: RunContents, metric: str, prefix: str) -> Iterator[Sample]:
    grouped: dict[str, list[Member]] = {}
    for planned in run.record.cells:
        if not planned.reason and planned.id not in run.left_out:
            found = Member(planned, run.cells.results.get(planned.id), run.cells.damaged.get(planned.id, ""))
            grouped.setdefault(cell_name(planned, run.record.swept), []).append(found)
    for name, members in grouped.items():
        yield from samples_of_cell(name, members, metric, prefix, run.race is not None)


def _estimate(result: CellResult | None, metric: str) -> Estimate | None:
    found = result.estimates if result is not None else ()
    return next((estimate for estimate in found if estimate.metric == metric), None)


def comparable_key(result: CellResult, estimate: Estimate) -> Hashable:
    """Return what must be equal for two values of a metric to be compared: pixels, numbers of images, protocol."""
    identity = result.identity
    pixels = result.comparability.data_hash if result.comparability is not None else ""
    dataset = identity.dataset.name, repr(sorted(identity.dataset.options.items())), identity.image_shape
    return dataset, pixels, estimate.n, estimate.direction, tuple(sorted(estimate.protocol.items()))


def _full_name(metric: str, known: Sequence[str]) -> str:
    if metric in known:
        return metric
    short = [name for name in known if name.startswith(f"{metric}-")]
    if len(short) == 1:
        return short[0]
    if short:
        raise UsageError(f"The metric '{metric}' is ambiguous.", f"Choose from: {', '.join(short)}.", code="GB107")
    raise UsageError(
        f"No cell has measured '{metric}'.{near_miss(metric, known)}", f"Choose from: {', '.join(known)}.", code="GB602"
    )
