"""Which engine a cell trains with: the one that was asked for, or the fastest; never one that trains otherwise.

An engine other than the eager one is prepared (compiled, captured), then held to the eager one over 20 steps. One that
cannot be prepared, or that deviates, is not used: the cell goes on eagerly, and its record and notes say why. All of it
happens before the warm-up, from the state in which the training will begin or go on, which is put back.

`auto` tries what the device offers and takes the fastest of those that pass, timed in short windows in turn. To prepare
an engine costs time that a short training does not win back: one is tried where the steps that are left would take the
eager engine at least `PAYS_OFF` times what its preparation is reckoned to take (`RECKONED`).
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator

import msgspec
import torch

from genbench.measure.clock import synchronise, time_window
from genbench.results.schema import EngineBound, EngineCheck, EngineRecord, EngineTrial
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.equivalence import EagerWays, compare, eager_ways
from genbench.train.state import state_kept

OFFERS = {"cpu": ("compile",), "cuda": ("graph+compile", "graph", "compile")}
RECKONED = {"compile": 30.0, "graph": 5.0, "graph+compile": 35.0}  # seconds that it takes to prepare and check one
PAYS_OFF = 3.0  # an engine that is 1.5 times as fast wins its preparation back in three times as long
ROUNDS, ROUND_SECONDS, MOST_STEPS = 6, 0.25, 200  # of the windows that survivors are timed in


def choose_engine(
    engine: Engine,
    asked: str,
    steps_left: int,
    activity: Callable[[str], None],
    before: str = "",
) -> EngineRecord:
    """Exchange the engine's execution for the one that is asked for, where it trains as eagerly; return what was found.

    Args:
        engine: in the state in which the training begins or goes on.
        asked: the recipe's field: eager, compile, graph, or auto.
        steps_left: of the training.
        activity: is told what is being done.
        before: what executed the steps so far, of a training that goes on; `auto` stays with it.
    """
    if asked == "eager":
        return EngineRecord(asked=asked, used="eager", reason="asked for")
    trials = _Trials(engine, activity)
    if asked != "auto":
        trials.attempt(asked)
        return trials.settle(asked, next(iter(trials.open), "eager"), "asked for")
    if before:
        if before == "eager":
            return EngineRecord(asked=asked, used="eager", reason="as before it was interrupted")
        trials.attempt(before)
        return trials.settle(asked, next(iter(trials.open), "eager"), "as before it was interrupted")
    activity("timing engines")
    left = steps_left * trials.time_eager()
    for name in OFFERS.get(engine.rng.device.type, ()):
        least = PAYS_OFF * RECKONED[name]
        if left < least:
            trials.leave_out(name, f"the training takes about {left:.3g} s, it pays off from about {least:.3g} s on")
        else:
            trials.attempt(name)
    if not trials.open:
        return trials.settle(asked, "eager", "no other engine was left")
    activity("timing engines")
    trials.race()
    return trials.settle(asked, trials.fastest(), "the fastest")


class _Trials:
    """What became of each engine."""

    def __init__(self, engine: Engine, activity: Callable[[str], None]) -> None:
        self.engine = engine
        self.open: dict[str, Execution] = {}  # those that passed
        self._begin = time.perf_counter()
        self._activity = activity
        self._found: dict[str, EngineTrial] = {}
        self._eager: EagerWays | None = None

    def leave_out(self, name: str, reason: str) -> None:
        """Note why an engine is not tried."""
        self._found[name] = EngineTrial(engine=name, outcome="not tried", reason=reason)

    def attempt(self, name: str) -> None:
        """Prepare an engine and hold it to the eager one."""
        self._activity(f"preparing the engine {name}")
        begin = time.perf_counter()
        try:
            execution = open_execution(name, self.engine)
            synchronise(self.engine.rng.device)
        except Exception as error:
            seconds = time.perf_counter() - begin
            self._found[name] = EngineTrial(
                engine=name, outcome="unavailable", reason=_said(error), prepare_seconds=seconds
            )
            _let_go(error)
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
            self.open[name] = execution

    def _check(self, execution: Execution) -> tuple[EngineCheck | None, str]:
        """Return the comparison with eager fp32, and what is wrong, or nothing."""
        self._eager = self._eager or eager_ways(self.engine)
        try:
            check = compare(self.engine, execution, self._eager)
        except Exception as error:
            _let_go(error)
            return None, f"its steps fail: {_said(error)}"
        return check, next((_deviates(check, bound) for bound in check.bounds if bound.found > bound.tolerance), "")

    def time_eager(self) -> float:
        """Return the seconds that the eager engine needs for a step."""
        with state_kept(self.engine), _executed_by(self.engine, Eager()):
            return self._window(2.0)

    def race(self) -> None:
        """Time the eager engine and those that passed in short windows, in turn and back again."""
        runners: dict[str, Execution] = {"eager": Eager(), **self.open}
        self._found.setdefault("eager", EngineTrial(engine="eager", outcome="passed"))
        seconds: dict[str, list[float]] = {name: [] for name in runners}
        with state_kept(self.engine):
            for number in range(ROUNDS):
                for name in list(runners) if number % 2 else reversed(list(runners)):
                    with _executed_by(self.engine, runners[name]):
                        seconds[name].append(self._window(ROUND_SECONDS))
        for name, windows in seconds.items():
            self._found[name] = msgspec.structs.replace(self._found[name], seconds_per_step=windows)

    def fastest(self) -> str:
        """Return the name of the engine with the least median of seconds per step."""
        medians = {name: statistics.median(t.seconds_per_step) for name, t in self._found.items() if t.seconds_per_step}
        return min(medians, key=medians.__getitem__)

    def settle(self, asked: str, used: str, reason: str) -> EngineRecord:
        """Let the engine go on with one execution, close the others, and return the record."""
        for name, execution in self.open.items():
            if name != used:
                execution.close()
        self.engine.execution = self.open.get(used, self.engine.execution)
        trials = [
            msgspec.structs.replace(trial, outcome=("used" if trial.engine == used else "slower"))
            if trial.outcome == "passed"
            else trial
            for trial in self._found.values()
        ]
        if used == "eager" and asked != "auto":
            reason = f"{trials[0].engine}: {trials[0].reason}"
        gc.collect()
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

    def _window(self, seconds: float) -> float:
        """Return the seconds per step of a window of about so many seconds, after a step that is not counted."""
        device = self.engine.rng.device
        self.engine.step()
        once = time_window(self.engine.step, 1, device)[1]
        steps = min(MOST_STEPS, max(1, round(seconds / max(once, 1e-6))))
        done, taken = time_window(self.engine.step, steps, device)
        return taken / done


def engine_notes(record: EngineRecord, before: str = "", step: int = 0) -> list[str]:
    """Return what a reader must know: another engine than was asked for, or than before; what of it runs eagerly.

    Args:
        record: of the engine that is used now.
        before: what executed the steps up to `step`, of a training that goes on.
        step: steps done.
    """
    notes = []
    if record.asked not in ("auto", record.used):
        notes.append(f"the engine {record.asked} could not be used, trained eagerly: {record.reason}")
    if before and before != record.used:
        notes.append(f"the engine of the first {step:,} steps was {before}: the throughput is of both")
    return notes + [note for trial in record.trials if trial.engine == record.used for note in trial.notes]


@contextlib.contextmanager
def _executed_by(engine: Engine, execution: Execution) -> Iterator[None]:
    before, engine.execution = engine.execution, execution
    try:
        yield
    finally:
        engine.execution = before


def _deviates(check: EngineCheck, bound: EngineBound) -> str:
    found = f"deviate from eager fp32 by {bound.found:.2g}, more than {bound.tolerance:.2g}"
    return f"in {check.steps} steps the {bound.what.replace('_', ' ')} of '{bound.of}' {found}"


def _said(error: Exception) -> str:
    if isinstance(error, EngineUnavailable):
        return str(error)
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}".rstrip(": ")


def _let_go(error: Exception) -> None:
    """Free what the frames of a failed attempt hold: memory that ran out is to be there for the eager engine."""
    error.__traceback__ = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
