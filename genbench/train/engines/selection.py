"""Selecting the engine of a cell: the requested one or the fastest, but never one that trains differently.

An engine other than the eager one is prepared (compiled, captured), then compared with the eager one over 20 steps. If
it cannot be prepared, or deviates, it is not used: the cell trains eagerly, and its record and notes say why. All this
happens before the warm-up, from the state in which training starts or resumes, which is restored afterwards.

`auto` tries the engines that are available on the device, times those that pass in short alternating windows, and uses
the fastest. Preparation takes time that a short training does not recover: an engine is tried only if the eager engine
would need at least `PAYBACK_FACTOR` times the typical preparation time (`PREPARATION_SECONDS`) for the remaining steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import msgspec

from genbench.api.recipe import Recipe
from genbench.errors import UsageError
from genbench.measure.accelerator import free_memory
from genbench.measure.capabilities import can, is_accelerator
from genbench.measure.clock import synchronise
from genbench.results.schema import (
    EngineBound,
    EngineCheck,
    EngineRecord,
    EngineTrial,
    MemoryFormatChoice,
    MemoryFormatName,
    StepTuning,
)
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.equivalence import EagerTrajectories, check_execution, eager_trajectories
from genbench.train.engines.memory_format_choice import choose_memory_format
from genbench.train.engines.short_windows import executed_by, seconds_per_step
from genbench.train.engines.step_tuning import StepRequest, tune_step
from genbench.train.memory_format import format_name
from genbench.train.process_group import World
from genbench.train.state import state_kept

CANDIDATES = {True: ("graph+compile", "graph", "compile"), False: ("compile",)}  # whether the device replays graphs
# To prepare and check, with nothing in the cache. `compile`: 15 to 23 s to prepare on two cores, for three models
# (results/reference/engine-speed.json), and the check. `graph`: an assumption that no GPU has confirmed yet. What it
# took in a cell is in the record of the cell.
PREPARATION_SECONDS = {"compile": 30.0, "graph": 5.0, "graph+compile": 35.0}
PAYBACK_FACTOR = 3.0  # an engine that is 1.5 times as fast recovers its preparation in three times that time
ROUNDS, ROUND_SECONDS = 6, 0.25  # of the timed windows


def choose_engine(
    engine: Engine,
    asked: str,
    steps_left: int,
    activity: Callable[[str], None],
    before: str = "",
    memory_format: tuple[MemoryFormatName, str] | None = None,
    world: World | None = None,
    step: StepRequest | None = None,
) -> EngineRecord:
    """Choose the memory format and the other alternatives of the step, then the execution: the requested one if it
    trains like eager.

    Returns the findings.

    Args:
        engine: in the state in which training starts or resumes.
        asked: the value in the recipe: eager, compile, graph or auto.
        steps_left: remaining training steps.
        activity: called with a description of the current activity.
        before: the execution of the steps so far, if training resumes; `auto` uses it again.
        memory_format: the one to use, and why; None: the one that the steps are fastest in.
        world: the processes that train the cell.
        step: what is known of the other alternatives; None: the defaults are used.
    """
    if step is not None and not step.wanted and memory_format is None and is_accelerator(engine.rng.device):
        memory_format = (format_name(engine.memory_format), "nothing is to be timed")
    replayed = asked in ("graph", "auto") and can(engine.rng.device).graphs
    layout = choose_memory_format(engine, replayed, memory_format, activity, world)
    tuned = None
    if step is not None and not is_accelerator(engine.rng.device):
        tuned = _tune(engine, asked, steps_left, step, activity, world)
        layout = _with_tuned_format(layout, tuned)
    found = _choose_execution(engine, asked, steps_left, activity, before)
    seconds = layout.timing_seconds + (tuned.timing_seconds if tuned is not None else 0.0)
    return msgspec.structs.replace(
        found, memory_format=layout, step_tuning=tuned, check_seconds=found.check_seconds + seconds
    )


def _tune(
    engine: Engine,
    asked: str,
    steps_left: int,
    step: StepRequest,
    activity: Callable[[str], None],
    world: World | None,
) -> StepTuning:
    """Tune eager steps of one process: others are not timed here."""
    if world is not None and world.size > 1:
        return StepTuning(reason="several processes train the cell")
    if asked not in ("eager", "auto") and step.wanted and step.known is None:
        return StepTuning(reason=f"the steps of the engine {asked} are executed in its own way")
    return tune_step(engine, steps_left, step, activity)


def _with_tuned_format(layout: MemoryFormatChoice, tuned: StepTuning) -> MemoryFormatChoice:
    """Return the choice of the memory format where the tuner of the step made it."""
    chosen = tuned.chosen.get("memory_format")
    if chosen is None:
        return layout
    return MemoryFormatChoice(used=msgspec.convert(chosen, MemoryFormatName), reason=tuned.reason)


def _choose_execution(
    engine: Engine, asked: str, steps_left: int, activity: Callable[[str], None], before: str
) -> EngineRecord:
    if asked == "eager":
        return EngineRecord(asked=asked, used="eager", reason="asked for")
    trials = _Trials(engine, activity)
    if asked != "auto":
        trials.try_engine(asked)
        return trials.conclude(asked, next(iter(trials.passed), "eager"), "asked for")
    if before:
        if before == "eager":
            return EngineRecord(asked=asked, used="eager", reason="used before the interruption")
        trials.try_engine(before)
        return trials.conclude(asked, next(iter(trials.passed), "eager"), "used before the interruption")
    activity("timing engines")
    left = steps_left * trials.time_eager()
    for name in CANDIDATES[can(engine.rng.device).graphs]:
        least = PAYBACK_FACTOR * PREPARATION_SECONDS[name]
        if left < least:
            trials.skip(
                name, f"training takes about {left:.3g} s eagerly; preparation pays off from about {least:.3g} s"
            )
        else:
            trials.try_engine(name)
            trials.keep_faster()
    if not trials.timed:
        return trials.conclude(asked, "eager", "no other engine passed")
    return trials.conclude(asked, next(iter(trials.passed), "eager"), "the fastest")


def use_engine(
    engine: Engine,
    recipe: Recipe,
    memory_format: tuple[MemoryFormatName, str] | None = None,
    step_options: Mapping[str, str] | None = None,
) -> EngineRecord:
    """Let the recipe's engine execute the steps, where these are timed without a run; return the findings.

    The memory format is the one that is given, with its reason, or the one that the steps are fastest in; so are the
    other options of the step.

    Raises `UsageError` if it cannot be used: other steps would be timed than those that were asked for.
    """
    steps = max(1, -(-recipe.images // engine.images_per_step))
    step = StepRequest(wanted=recipe.step_tuning == "auto", known=step_options, reason="those of the other side")
    record = choose_engine(engine, recipe.engine, steps, lambda activity: None, memory_format=memory_format, step=step)
    if recipe.engine not in ("auto", record.used):
        raise UsageError(
            f"The engine {recipe.engine} cannot be used: {record.reason.removesuffix('.')}.",
            "Use --engine eager.",
            code="GB405",
        )
    return record


class _Trials:
    """The engines that were tried, and the findings."""

    def __init__(self, engine: Engine, activity: Callable[[str], None]) -> None:
        self.engine = engine
        self.passed: dict[str, Execution] = {}  # the executions that passed the check and are not slower than others
        self.timed = False
        self._begin = time.perf_counter()
        self._activity = activity
        self._found: dict[str, EngineTrial] = {}
        self._eager: EagerTrajectories | None = None
        self._kept: list[str] = []  # the engine that was faster than all before it; empty: eager

    def skip(self, name: str, reason: str) -> None:
        """Record why an engine is not tried."""
        self._found[name] = EngineTrial(engine=name, outcome="not tried", reason=reason)

    def try_engine(self, name: str) -> None:
        """Prepare an engine and compare it with the eager one."""
        self._activity(f"preparing the engine {name}")
        begin = time.perf_counter()
        try:
            execution = open_execution(name, self.engine)
            synchronise(self.engine.rng.device)
        except Exception as error:
            seconds = time.perf_counter() - begin
            self._found[name] = EngineTrial(
                engine=name, outcome="unavailable", reason=_describe(error), prepare_seconds=seconds
            )
            _release_memory(error)
            return
        prepared = time.perf_counter()
        self._activity(f"checking the engine {name}")
        check, reason = self._check(execution)
        self._found[name] = EngineTrial(
            engine=name,
            outcome="deviates" if reason else "passed",
            reason=reason,
            prepare_seconds=prepared - begin,
            check=check,
            notes=list(execution.notes),
        )
        if reason:
            execution.close()
        else:
            self.passed[name] = execution

    def _check(self, execution: Execution) -> tuple[EngineCheck | None, str]:
        """Return the comparison with eager fp32, and the reason if the execution fails it."""
        self._eager = self._eager or eager_trajectories(self.engine)
        try:
            check = check_execution(self.engine, execution, self._eager)
        except Exception as error:
            _release_memory(error)
            return None, f"its steps fail: {_describe(error)}"
        return check, next(
            (_describe_deviation(check, bound) for bound in check.bounds if bound.found > bound.tolerance), ""
        )

    def time_eager(self) -> float:
        """Return the seconds per step of the eager engine."""
        with state_kept(self.engine), executed_by(self.engine, Eager()):
            return seconds_per_step(self.engine, 2.0)

    def keep_faster(self) -> None:
        """Time the engine that has just passed and the fastest before it, in short windows; close the slower one.

        So no more than two engines hold memory at a time. The first one is compared with the eager engine.
        """
        executions: dict[str, Execution] = {**({} if len(self.passed) > 1 else {"eager": Eager()}), **self.passed}
        if len(executions) < 2 or list(self.passed) == self._kept:
            return
        self._activity("timing engines")
        self._found.setdefault("eager", EngineTrial(engine="eager", outcome="passed"))
        seconds: dict[str, list[float]] = {name: [] for name in executions}
        with state_kept(self.engine):
            for number in range(ROUNDS):
                for name in list(executions) if number % 2 else reversed(list(executions)):
                    with executed_by(self.engine, executions[name]):
                        seconds[name].append(seconds_per_step(self.engine, ROUND_SECONDS))
        for name, windows in seconds.items():
            trial = self._found[name]
            self._found[name] = msgspec.structs.replace(trial, seconds_per_step=[*trial.seconds_per_step, *windows])
        fastest = min(seconds, key=lambda name: statistics.median(seconds[name]))
        for name in executions:
            if name != fastest and name in self.passed:
                self.passed.pop(name).close()
        self._kept, self.timed = list(self.passed), True
        free_memory()

    def conclude(self, asked: str, used: str, reason: str) -> EngineRecord:
        """Assign one execution to the engine, close the others, and return the record."""
        for name, execution in self.passed.items():
            if name != used:
                execution.close()
        self.engine.execution = self.passed.get(used, self.engine.execution)
        trials = [
            msgspec.structs.replace(trial, outcome=("used" if trial.engine == used else "slower"))
            if trial.outcome == "passed"
            else trial
            for trial in self._found.values()
        ]
        if used == "eager" and asked != "auto":
            reason = f"{trials[0].engine}: {trials[0].reason}"
        free_memory()
        prepared = sum(trial.prepare_seconds for trial in trials)
        passed = time.perf_counter() - self._begin
        return EngineRecord(
            asked=asked,
            used=used,
            reason=reason,
            trials=trials,
            prepare_seconds=prepared,
            check_seconds=passed - prepared,
        )


def engine_notes(record: EngineRecord, before: str = "", step: int = 0) -> list[str]:
    """Return notes for the reader: a different engine than requested or than before; parts that run eagerly.

    Args:
        record: the record of the engine that is now used.
        before: the execution of the steps up to `step`, if training resumed.
        step: number of steps done.
    """
    notes = []
    if record.asked not in ("auto", record.used):
        notes.append(f"the engine {record.asked} could not be used, trained eagerly: {record.reason}")
    if before and before != record.used:
        notes.append(f"the engine of the first {step:,} steps was {before}: the throughput covers both")
    return notes + [note for trial in record.trials if trial.engine == record.used for note in trial.notes]


def _describe_deviation(check: EngineCheck, bound: EngineBound) -> str:
    found = f"deviate from eager fp32 by {bound.found:.2g}, more than {bound.tolerance:.2g}"
    return f"in {check.steps} steps the {bound.what.replace('_', ' ')} of '{bound.of}' {found}"


def _describe(error: Exception) -> str:
    if isinstance(error, EngineUnavailable):
        return str(error)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}".rstrip(": ")


def _release_memory(error: Exception) -> None:
    """Release memory held by the frames of a failed attempt: the eager engine may need it."""
    error.__traceback__ = None
    free_memory()
