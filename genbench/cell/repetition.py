"""Training the first windows of a stored cell again, to compare their losses."""

from __future__ import annotations

from typing import Any

import msgspec

from genbench.cell import stages
from genbench.cell.partial_result import PartialResult
from genbench.errors import UsageError
from genbench.process.messages import Job
from genbench.process.worker_channel import WorkerChannel
from genbench.train.divergence import Diverged
from genbench.train.engines.equivalence import perturb
from genbench.train.network_checks import count_parameters
from genbench.train.process_group import World
from genbench.train.torch_setup import step_settings


def repeat_windows(job: Job, channel: WorkerChannel) -> dict[str, Any]:
    """Train windows of the job's numbers of steps; return the conditions, the parameter counts and the curves.

    A training that diverges returns the curves up to there. Raises `UsageError` for a cell of several processes.
    """
    assert job.cell is not None
    planned, known = job.cell, PartialResult()
    with step_settings(str(planned.identity.recipe["precision"])):
        cell = stages.open_cell(job, planned, channel, World(), known)
        if cell.recipe.processes > 1:
            raise UsageError("a cell that several processes train cannot be repeated")
        data = stages.load(cell)
        prepared = stages.build(cell, data)
        training = prepared.training
        if job.perturbation:
            perturb(training.engine, job.perturbation)
        channel.activity("training")
        try:
            training.repeat(job.windows, training.warmup_steps)
        except Diverged:
            pass  # as the stored training may have
        finally:
            training.engine.data.close()
    return {
        "comparability": msgspec.to_builtins(known.comparability),
        "parameters": count_parameters(prepared.built.setup.networks),
        "curves": msgspec.to_builtins(training.curves),
    }
