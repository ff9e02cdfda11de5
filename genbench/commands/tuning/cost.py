"""What a tuning would try and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.commands.execution import (
    Output,
)
from genbench.commands.plan import duration, with_costs
from genbench.commands.preparation import choose_job_runner, prepared
from genbench.commands.run import Progress, choose_output
from genbench.commands.tuning.asked import Asked, asked_of
from genbench.commands.tuning.goal import goal_of
from genbench.runner.job_runner import JobRunner
from genbench.tuning.study import require_optuna


@dataclass(frozen=True)
class TuningCost:
    """What `genbench tune --dry-run` shows."""

    rows: Sequence[Mapping[str, Any]]  # one per model
    metric: str
    images: int  # of all models together, in trials
    failing: bool

    @property
    def seconds(self) -> float:
        """The estimated time of training of everything."""
        return float(sum(row["seconds"] or 0 for row in self.rows))

    def text(self) -> str:
        """Return the rows as lines, with the total."""
        lines = []
        for row in self.rows:
            time = "unknown" if row["seconds"] is None else f"about {duration(row['seconds'])}"
            budgets = " + ".join(f"{count} × {images:,}" for images, count in row["rungs"])
            lines.append(
                f"{row['model']} · {row['loss']}: {len(row['space'])} settings; {budgets} images in trials, "
                f"{row['final']} final cells; training takes {time}{f' ({note})' if (note := row['note']) else ''}"
            )
            lines += [f"  {name}: {values}" for name, values in row["space"].items()]
        lines.append(
            f"Tuned by {self.metric} on the validation split. In total {self.images:,} images in trials and "
            f"about {duration(self.seconds)} of training, estimated from one second at the usual settings of each "
            "model; evaluation takes extra time."
        )
        return "\n".join(lines) + "\n"

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"models": self.rows, "metric": self.metric, "images": self.images, "training_seconds": self.seconds}


def tuning_cost(asked: Asked, executor: JobRunner, output: Output) -> TuningCost:
    """Return what a tuning would cost; nothing is written. Raises the errors of `start_tuning`."""
    require_optuna()
    with prepared(asked.request, executor, output.notify) as ready:
        goal, models, _ = goal_of(asked, ready)
        costs = with_costs(ready.executor, ready.plan, ready.device, asked.request.threads)
    by_model = {cell.identity.model.name: cell.cost for cell in costs.cells}
    whole = goal.rungs[-1].images
    rows = []
    for tuned in models:
        cost = by_model[tuned.model]
        times = goal.images / whole + asked.final_seeds
        known = cost is not None and cost.seconds is not None
        rows.append(
            {
                "model": tuned.model,
                "loss": tuned.loss,
                "space": {dimension.name: str(dimension.values) for dimension in tuned.space},
                "rungs": [(rung.images, rung.trials) for rung in goal.rungs],
                "images": goal.images,
                "final": asked.final_seeds,
                "seconds": cost.seconds * times if known and cost is not None and cost.seconds is not None else None,
                "note": "" if cost is None else cost.note,
            }
        )
    return TuningCost(rows, goal.metric, goal.images * len(models), bool(costs.failing))


def plan_tuning(
    models: str | Sequence[str] | None = None,
    search: str | Path | Mapping[str, Any] | None = None,
    *,
    progress: Progress = True,
    **arguments: Any,
) -> TuningCost:
    """Return what `genbench.tune` would try with the same arguments and what that would cost; nothing is written.

    It raises the same errors. Each model is trained for a second.
    """
    executor = choose_job_runner(False)
    output, _ = choose_output(progress, executor)
    return tuning_cost(asked_of(search, {"models": models, **arguments}), executor, output)
