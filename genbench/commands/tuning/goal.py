"""What is tuned: the metric, the models with their spaces, and a budget that is equal for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genbench.api.evaluation import Direction
from genbench.commands.preparation import Prepared
from genbench.commands.tuning.asked import Asked
from genbench.errors import UsageError
from genbench.gate.samples import usual_metric
from genbench.planning.request import Request
from genbench.planning.search_space import make_spaces
from genbench.planning.targets import single_value_direction
from genbench.results.schema import PlannedCell
from genbench.tuning.campaign import Goal
from genbench.tuning.study import rungs
from genbench.tuning.trial_cells import TrialPlanner, TunedModel

_UNEQUAL_BUDGETS = "every model must have the same budget, so that none wins by more training"


def goal_of(asked: Asked, ready: Prepared) -> tuple[Goal, list[TunedModel], Request]:
    """Return what is tuned, the models with their spaces, and the request with the metrics of the final cells."""
    cells = ready.plan.cells
    for cell in cells:
        if cell.reason:
            raise UsageError(f"{cell.identity.model.name} with {cell.identity.loss.name}: {cell.reason}.", code="GB106")
    budgets = {cell.identity.model.name: cell.identity.recipe["images"] for cell in cells}
    if len({*budgets.values()}) > 1:
        shown = ", ".join(f"{model} has {images:,}" for model, images in budgets.items())
        raise UsageError(
            f"The budgets differ in images: {shown}; {_UNEQUAL_BUDGETS}.", "Set --images alone.", code="GB110"
        )
    if any(cell.identity.recipe["patience"] for cell in cells):
        raise UsageError(
            f"patience would stop trials early, but {_UNEQUAL_BUDGETS}.", "Leave --patience out.", code="GB110"
        )
    if ready.chosen_executor.options.get("parallel") or ready.chosen_executor.options.get("devices"):
        raise UsageError(
            "The trials of a tuning run one after another.", "Leave --parallel and --devices out.", code="GB901"
        )
    catalogue = ready.catalogue
    pairs = [
        (catalogue.models[cell.identity.model.name].spec, catalogue.losses[cell.identity.loss.name].spec)
        for cell in cells
    ]
    spaces = make_spaces(asked.search, pairs, asked.source)
    models = [TunedModel(model.name, loss.name, spaces[model.name]) for model, loss in pairs]
    metric, direction, request = _metric(asked, ready)
    images = int(next(iter(budgets.values())))  # type: ignore[arg-type]
    goal = Goal(metric, direction, asked.sampler, rungs(images, asked.trials, asked.pruner), asked.trials, asked.seed)
    planner = TrialPlanner(request, models, metric, catalogue, ready.planner)
    for tuned in models:
        usual = planner.trial_cell(tuned, {}, images, 0)
        if metric not in usual.identity.metrics:
            raise UsageError(
                f"The metric '{metric}' does not apply to '{tuned.model}' on these data.",
                f"Choose another --metric: {', '.join(_applicable(cells)) or 'none applies to all of these models'}.",
                code="GB602",
            )
        for dimension in tuned.space:
            planner.require_possible(tuned, dimension, images)
    return goal, models, request


def _metric(asked: Asked, ready: Prepared) -> tuple[str, Direction, Request]:
    """Return the metric to tune, its direction, and the request with it among the metrics of the final cells."""
    catalogue, request = ready.catalogue, asked.request
    directions = {name: entry.spec.direction for name, entry in catalogue.metrics.items()}
    if not asked.metric:
        single = [name for name in _applicable(ready.plan.cells) if directions[name] != "each"]
        if not single:
            raise UsageError(
                "No metric with a single value applies to all of these models.", "Choose one: --metric.", code="GB602"
            )
        name = usual_metric(single)
        return name, single_value_direction("metric", name, single, directions), request
    found = [spec.name for spec in ready.planner(replace(request, metrics=(asked.metric,))).metrics]
    if len(found) > 1:
        raise UsageError(
            f"The metric '{asked.metric}' is ambiguous.", f"Choose from: {', '.join(found)}.", code="GB107"
        )
    (name,) = found
    direction = single_value_direction("metric", name, found, directions)
    measured = [spec.name for spec in ready.planner(request).metrics]
    if name not in measured:
        request = replace(request, metrics=(*measured, name))
    return name, direction, request


def _applicable(cells: Sequence[PlannedCell]) -> list[str]:
    """Return the metrics that every cell has."""
    return [name for name in cells[0].identity.metrics if all(name in cell.identity.metrics for cell in cells)]
