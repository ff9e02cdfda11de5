"""Executing a cell: its stages in order, with a result whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from genbench.cell import stages
from genbench.cell.batch_size_search import suggest_batch
from genbench.cell.failure import diagnose, error_code
from genbench.cell.partial_result import PartialResult
from genbench.measure import machine
from genbench.process.messages import Finished, Job
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.consistency import storable
from genbench.results.failure_codes import CONNECTION_LOST
from genbench.results.schema import CellResult, PlannedCell, Provenance, Status
from genbench.train.divergence import Diverged
from genbench.train.process_group import MainRankError, World
from genbench.train.torch_setup import step_settings

CLOCK_TOLERANCE = 2.0  # seconds by which the machine's clock may differ from the measured duration
CLOCK_DRIFT = 0.001  # share of the duration that a clock may gain or lose while it is being adjusted


def execute_cell(job: Job, channel: WorkerChannel, world: World | None = None) -> CellResult:
    """Execute the job's cell and return its result; any failure of plugin, data or machine becomes a status.

    If several processes train the cell, the result of the main rank counts; the others raise `MainRankError` after it
    has failed.
    """
    assert job.cell is not None
    planned, world = job.cell, world or World()
    known = PartialResult()
    started, begin = datetime.now(UTC), time.perf_counter()
    load_before = machine.load_average()
    status: Status
    code = ""

    def result(status: Status, reason: str) -> CellResult:
        elapsed = time.perf_counter() - begin
        finished, note = end_of(started, datetime.now(UTC), elapsed)
        known.note(*filter(None, [note]))
        provenance = Provenance(
            started=started.isoformat(timespec="seconds"),
            finished=finished.isoformat(timespec="seconds"),
            host=machine.host(),
            resumed_at_step=known.resumed_at_step,
            versions=machine.versions(),
            load_average=[load_before, machine.load_average()],
        )
        return known.result(planned, status, reason, code, provenance, elapsed)

    try:
        status, reason = _run_stages(job, planned, channel, world, known, result)
    except Diverged as error:
        status, reason = "diverged", f"{error}; try a lower --learning-rate, or --precision fp32 if it was not fp32"
    except (StopRequested, MainRankError):
        raise
    except BaseException as error:  # also SystemExit: a plugin that calls sys.exit has failed
        channel.handle_exception(error)
        lost = world.lost_connection(error)
        status, reason = diagnose(error)
        code = CONNECTION_LOST if lost else error_code(error)
        reason = f"the connection to another process of this cell was lost ({reason})" if lost else reason
    if status == "oom" and known.train_briefly:
        return suggest_batch(result(status, reason), known.train_briefly, channel)
    return result(status, reason)


def _run_stages(
    job: Job,
    planned: PlannedCell,
    channel: WorkerChannel,
    world: World,
    known: PartialResult,
    result: Callable[[Status, str], CellResult],
) -> tuple[Status, str]:
    """Run the stages of a cell in order; `result` makes its result from what is known so far."""
    with step_settings(str(planned.identity.recipe["precision"])):
        cell = stages.open_cell(job, planned, channel, world, known)
        data = stages.load(cell)
        prepared = stages.build(cell, data)
        try:
            stages.train(cell, prepared)
        finally:
            stages.keep_training_samples(cell, prepared)
        if not world.main:
            return "ok", ""
        collapse = stages.evaluate(cell, prepared)
        status: Status = "collapsed" if collapse else "ok"
        if world.size == 1:  # the profiler, or a graph's first capture, may crash the process: report the result before
            provisional = result(status, collapse)
            notes = [*provisional.notes, "no operations were counted: the process ended while it counted them"]
            channel.say(Finished(cell=storable(msgspec.structs.replace(provisional, notes=notes))))
        try:
            stages.count(cell, prepared)
        except Exception as error:
            channel.handle_exception(error)
            known.note(f"no operations were counted: {diagnose(error)[1]}")
    return status, collapse


def end_of(started: datetime, finished: datetime, elapsed: float) -> tuple[datetime, str]:
    """Return when a cell ended, and a note if the machine's clock was changed meanwhile, or an empty string.

    Durations come from a clock that cannot be set. If the machine's own clock ended up behind the start plus the
    `elapsed` seconds, it was set back, and that sum is the end; if it is ahead, the clock is believed, because a
    suspended machine stands still while time passes.
    """
    expected = started + timedelta(seconds=elapsed)
    jump = (finished - expected).total_seconds()
    if abs(jump) <= CLOCK_TOLERANCE + CLOCK_DRIFT * elapsed:
        return finished, ""
    if jump < 0:
        return expected, (
            f"the machine's clock was set back by {-jump:,.0f} s while this cell ran: the end is its start plus the "
            "measured duration; durations and speeds are not affected"
        )
    return finished, (
        f"the machine's clock went forward by {jump:,.0f} s more than the measured duration of this cell: it was set, "
        "or the machine was suspended; durations and speeds do not include that time"
    )
