"""The races of a plan: one per dataset, between the cells that differ in anything but the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from genbench.api.options import OptionValue
from genbench.api.recipe import resolve_recipe
from genbench.errors import UsageError, near_miss
from genbench.gate.limits import parse_share
from genbench.gate.race import FIRST_LOOK, LARGEST_ERROR
from genbench.planning.identity import cell_id, digest
from genbench.planning.samplers import parse_sampler
from genbench.planning.targets import Directions, single_value_direction
from genbench.results.cell_names import method_name
from genbench.results.identity_settings import key_without_seed
from genbench.results.schema import PlannedCell, PlannedRace, RaceCandidate

ERROR = 0.05
_EXAMPLE = "Write --race METRIC, or --race METRIC:error=5%:seeds=20."
_OPTIONS = ("error", "seeds")


class RaceRequest(NamedTuple):
    """What `--race METRIC:error=SHARE:seeds=N` says."""

    metric: str
    error: float = ERROR
    most_seeds: int | None = None  # None: twice as many as are planned


def parse_race(text: str) -> RaceRequest:
    """Return the parts of ``METRIC:error=5%:seeds=20``; raise `UsageError` for anything else."""
    try:
        metric, options = parse_sampler(text)
    except UsageError:
        raise UsageError(f"race '{text}' is not valid.", _EXAMPLE) from None
    for name in options:
        if name not in _OPTIONS:
            raise UsageError(
                f"race '{text}': unknown option '{name}'.{near_miss(name, _OPTIONS)}", f"{_EXAMPLE} Options: "
                "error, the probability of dropping one of the best; seeds, the most that one candidate gets."
            )  # fmt: skip
    error = parse_share(options.get("error", ERROR), f"race '{text}': error")
    if not 0 < error <= LARGEST_ERROR:
        raise UsageError(
            f"race '{text}': an error of {100 * error:g}% is not possible.",
            f"It lies above 0% and is at most {100 * LARGEST_ERROR:g}%; usual are 5% and 1%.",
        )
    return RaceRequest(metric, error, _number_of_seeds(options.get("seeds"), text))


def _number_of_seeds(value: OptionValue, text: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UsageError(f"race '{text}': seeds = {value!r} is not a whole number.", _EXAMPLE)


def make_races(
    request: RaceRequest | None,
    cells: Sequence[PlannedCell],
    seeds: Sequence[int],
    measured: Collection[str],
    directions: Directions,
    swept: Sequence[str],
) -> list[PlannedRace]:
    """Return the races between the possible cells of a plan, none without a request.

    Raises `UsageError` for a metric that some candidate does not measure as a single value, for a single candidate,
    and for fewer seeds than the first look needs.

    Args:
        request: what was asked for.
        cells: of the plan.
        seeds: of the plan.
        measured: the metrics of the plan.
        directions: the direction of every known metric.
        swept: settings with several values, which are part of the names of candidates.
    """
    if request is None:
        return []
    most = 2 * len(seeds) if request.most_seeds is None else request.most_seeds
    if len(seeds) < FIRST_LOOK:
        few = f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"
        raise UsageError(
            f"The first look of a race is after {FIRST_LOOK} seeds, and this plan has {few}.",
            "Give more, as with --seeds 0,1,2,3,4,5,6,7.",
            code="GB109",
        )
    if most < len(seeds):
        raise UsageError(
            f"race '{request.metric}': seeds={most} is less than the {len(seeds)} seeds of the plan.",
            f"Write {len(seeds)} or more, or plan fewer with --seeds.",
            code="GB109",
        )
    races: list[PlannedRace] = []
    for dataset, members in _by_dataset(cells).items():
        candidates = _candidates(members, swept)
        if len(candidates) < 2:
            alone = f"only {members[0].identity.model.name} is trained on {dataset}"
            raise UsageError(
                f"A race needs two candidates on each dataset, but {alone}.",
                "Name more models, losses or recipes, or leave out --race.",
                code="GB109",
            )
        own = {metric for cell in members for metric in cell.identity.metrics}
        metric = _full_name(request.metric, own)
        direction = single_value_direction("race", metric, measured, directions)
        _require_measured(metric, members, swept)
        races.append(
            PlannedRace(
                metric=metric,
                direction=direction,
                dataset=dataset,
                error=request.error,
                seeds=list(seeds),
                most_seeds=most,
                candidates=candidates,
            )
        )
    return races


def with_seed(planned: PlannedCell, seed: int) -> PlannedCell:
    """Return the cell with another seed, as the planner would have planned it."""
    identity = msgspec.structs.replace(planned.identity, seed=seed)
    return msgspec.structs.replace(planned, id=cell_id(identity), identity=identity)


def _full_name(metric: str, measured: Collection[str]) -> str:
    """Return the metric of this name, or the only one of which it is the part before a hyphen."""
    longer = [name for name in measured if name.startswith(f"{metric}-")]
    if metric in measured or not longer:
        return metric
    if len(longer) > 1:
        raise UsageError(f"race '{metric}' is ambiguous.", f"Choose from: {', '.join(longer)}.", code="GB107")
    return longer[0]


def _by_dataset(cells: Sequence[PlannedCell]) -> dict[str, list[PlannedCell]]:
    """Return the possible cells by dataset; those with the same name and other options are told apart."""
    groups: dict[tuple[str, str], list[PlannedCell]] = {}
    for cell in cells:
        if not cell.reason:
            key = cell.identity.dataset.name, f"{digest(cell.identity.dataset)} {cell.identity.image_shape}"
            groups.setdefault(key, []).append(cell)
    counts = Counter(name for name, _ in groups)
    return {name if counts[name] == 1 else f"{name} {key}": found for (name, key), found in groups.items()}


def _candidates(cells: Sequence[PlannedCell], swept: Sequence[str]) -> list[RaceCandidate]:
    groups: dict[bytes, list[PlannedCell]] = {}
    for cell in cells:
        groups.setdefault(key_without_seed(cell.identity), []).append(cell)
    names = {key: method_name(members[0], swept) for key, members in groups.items()}
    counts = Counter(names.values())
    return [
        RaceCandidate(
            name=names[key] if counts[names[key]] == 1 else f"{names[key]} · {members[0].id.rpartition('-')[2]}",
            cells=[cell.id for cell in members],
            images=resolve_recipe(members[0].identity.recipe).images,
        )
        for key, members in groups.items()
    ]


def _require_measured(metric: str, cells: Sequence[PlannedCell], swept: Sequence[str]) -> None:
    """Raise `UsageError` for cells without this metric, or with other numbers of samples: they cannot be compared."""
    without = dict.fromkeys(method_name(cell, swept) for cell in cells if metric not in cell.identity.metrics)
    if without:
        families = dict.fromkeys(cell.identity.family.name for cell in cells if metric not in cell.identity.metrics)
        common = [m for m in cells[0].identity.metrics if all(m in cell.identity.metrics for cell in cells)]
        raise UsageError(
            f"race '{metric}' cannot be measured for {'; '.join(list(without)[:3])}{' …' if len(without) > 3 else ''} "
            f"(family {', '.join(families)}).",
            f"Leave these out, or race by a metric that all candidates have: {', '.join(common) or 'there is none'}.",
            code="GB109",
        )
    if any(resolve_recipe(cell.identity.recipe).nnodes > 1 for cell in cells):
        raise UsageError(
            "A race cannot train on several machines: only one of them has the values that decide it.",
            "Use --nnodes 1, or leave out --race.",
            code="GB109",
        )
    samples = dict.fromkeys(resolve_recipe(cell.identity.recipe).samples for cell in cells)
    if len(samples) > 1:
        raise UsageError(
            f"The candidates of a race are measured with {', '.join(map(str, samples))} samples: they do not compare.",
            "Give all of them the same --samples.",
            code="GB109",
        )
