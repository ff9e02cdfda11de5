"""Tuning the step: the fastest of the alternatives that train the same up to rounding, by timing them on this machine.

The choices of `step_alternatives` are made one after another, each with the choices before it in use. A round times one
short window of every option, so that other work on the machine slows all of them down, and alternates their order. An
option replaces the default only if it is faster by more than `TIE` in so many rounds that chance would rarely do it.
All chosen options together are timed against the defaults once more, and trained for some steps beside them: if they
are not faster, or deviate by more than rounding explains, the defaults stay.

Tuning takes at most a given share of the estimated training time. A training with too few steps is not tuned. What was
chosen is kept for other cells on this machine with the same networks, batches and versions of genbench and torch,
unless other processes were busy: how many threads are fastest depends on them.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import torch
from msgspec.structs import replace

from genbench import __version__
from genbench.measure import machine
from genbench.measure.clock import time_window
from genbench.measure.interference import InterferenceMonitor
from genbench.results.cache import cache_directory
from genbench.results.files import atomic_write
from genbench.results.schema import EngineCheck, StepTrial, StepTuning
from genbench.train.engine import Eager, Engine
from genbench.train.engines.equivalence import STEPS, check_execution, eager_trajectories
from genbench.train.engines.short_windows import MAX_STEPS, executed_by
from genbench.train.state import state_kept
from genbench.train.step_alternatives import Alternatives, step_alternatives, use_options

FEWEST_STEPS = 4_000  # left to train: the least that tuning takes is about 5 % of these
SHARE, MOST_SECONDS = 0.05, 90.0  # of the estimated training time, at most, and at most so long
CHECK_SHARE = 0.3  # of the time of tuning, for the check
WINDOW_SECONDS = 0.03
FEWEST_ROUNDS, MOST_ROUNDS = 5, 15
TIE = 0.02  # relative difference in time below which the default stays
CHANCE = 0.05  # that so many rounds favour an option, or the default, if neither is faster
QUIET = 0.1  # share of processor time that others take, up to which a choice is kept for later cells
LONG_STEP = 0.05  # seconds: a window of such steps needs no untimed step before it
FEWEST_CHECKED = 3  # steps of the check


@dataclass(frozen=True)
class StepRequest:
    """What is known before the options of a step are chosen.

    Attributes:
        wanted: as in the recipe's field `step_tuning`; if false, the defaults are used.
        known: options that were chosen before; None: they are to be chosen.
        reason: why the known ones are used.
        key: what the networks and steps depend on, for the cache; empty: nothing is cached.
    """

    wanted: bool = True
    known: Mapping[str, str] | None = None
    reason: str = ""
    key: bytes = b""


def tune_step(
    engine: Engine,
    steps_left: int,
    request: StepRequest,
    activity: Callable[[str], None] = lambda activity: None,
) -> StepTuning:
    """Use the fastest options for the steps of an engine on a processor; return what was found.

    Args:
        engine: in the state in which training starts or resumes, executed eagerly; the state is unchanged.
        steps_left: remaining training steps.
        request: what is known before.
        activity: called with a description of the current activity.
    """
    choices = step_alternatives(torch.get_num_threads())
    if request.known is not None:
        return StepTuning(chosen=use_options(engine, choices, request.known), reason=request.reason)
    if not request.wanted:
        return StepTuning(reason="not asked for")
    if steps_left < FEWEST_STEPS:
        return StepTuning(reason=f"{steps_left:,} steps are too few to recover the time of tuning")
    path = _cache_path(request.key) if request.key else None
    if path is not None and (stored := _read(path)) is not None:
        used = use_options(engine, choices, stored.chosen)
        return replace(stored, chosen=used, reason=f"{stored.reason}, found by an earlier cell", timing_seconds=0.0)
    activity("tuning the step")
    begin, monitor = time.perf_counter(), InterferenceMonitor(engine.rng.device)
    try:
        found = _Tuner(engine, choices, steps_left).tune()
    except Exception as error:  # out of memory, for example: training says it, if it fails too
        found = StepTuning(reason=f"the alternatives could not be timed: {type(error).__name__}")
        error.__traceback__ = None
        path = None
    use_options(engine, choices, found.chosen)
    others = monitor.stop().others
    found = replace(found, timing_seconds=time.perf_counter() - begin, others=others)
    if path is not None and others is not None and others <= QUIET:
        _write(path, found)
    return found


def compare(seconds: Mapping[str, Sequence[float]]) -> tuple[str, bool]:
    """Return the option to use, and whether further rounds are needed to tell.

    Args:
        seconds: per step, by option and round; the default first. All options have the same number of rounds.
    """
    default, *others = seconds
    chosen, best, undecided = default, 1.0, False
    for name in others:
        ratios = [ours / its for ours, its in zip(seconds[name], seconds[default], strict=True)]
        faster = sum(ratio < 1 - TIE for ratio in ratios)
        if _chance(faster, len(ratios)) <= CHANCE:
            if (ratio := statistics.median(ratios)) < best:
                chosen, best = name, ratio
        elif _chance(len(ratios) - faster, len(ratios)) > CHANCE:
            undecided = True
    return chosen, undecided


def seconds_of(engine: Engine, steps: int, untimed: bool) -> float:
    """Return the seconds per step of a window of this many steps, after an untimed step if there is one."""
    if untimed:
        engine.step()
    done, taken = time_window(engine.step, steps, engine.rng.device)
    return taken / done


class _Tuner:
    """The measurements of one engine, within a limit of time."""

    def __init__(self, engine: Engine, choices: Sequence[Alternatives], steps_left: int) -> None:
        self.engine, self.choices = engine, [choice for choice in choices if len(choice.options(engine)) > 1]
        self._steps_left = steps_left
        self._begin = time.perf_counter()

    def tune(self) -> StepTuning:
        """Return the options to use; which ones are in use afterwards is not defined."""
        if not self.choices:
            return StepTuning(reason="there are no alternatives")
        with state_kept(self.engine), executed_by(self.engine, Eager()):
            seconds_of(self.engine, 2, untimed=True)
            self._step = default = seconds_of(self.engine, 3, untimed=False)
            most = min(SHARE * default * self._steps_left, MOST_SECONDS)
            checked = max(FEWEST_CHECKED, min(STEPS, int(CHECK_SHARE * most / (3 * default))))
            self._deadline = self._begin + most - 3 * checked * default
            chosen, trials = self._choose()
            if not chosen:
                reason = "no alternative is faster" if trials else "a step takes too long to time alternatives"
                return StepTuning(reason=reason, trials=trials)
            self._step = default
            sides = {"default": dict[str, str](), "chosen": chosen}
            confirmation = self._rounds(sides, lambda side: self._use(sides[side]), FEWEST_ROUNDS)
        found = StepTuning(trials=trials, confirmation=confirmation)
        if compare(confirmation)[0] == "default":
            return replace(found, reason="the chosen alternatives together are not surely faster")
        check = self._check(chosen, checked)
        found = replace(found, check=check)
        if any(bound.found > bound.tolerance for bound in check.bounds):
            return replace(found, reason="the chosen alternatives deviate by more than rounding")
        return replace(found, chosen=chosen, reason="the fastest")

    def _choose(self) -> tuple[dict[str, str], list[StepTrial]]:
        """Make the choices in turn, as long as there is time; return the options other than the defaults."""
        chosen, trials = dict[str, str](), list[StepTrial]()
        for choice in self.choices:
            options = choice.options(self.engine)
            if not self._is_time_for(len(options) + 2):  # and for the confirmation
                continue
            seconds = self._rounds(options, partial(choice.use, self.engine))
            used = compare(seconds)[0]
            choice.use(self.engine, used)
            self._step = statistics.median(seconds[used])
            trials.append(StepTrial(what=choice.name, used=used, seconds_per_step=seconds))
            if used != options[0]:
                chosen[choice.name] = used
        return chosen, trials

    @property
    def _window(self) -> tuple[int, bool]:
        """The steps of a window, and whether an untimed one precedes them."""
        return min(MAX_STEPS, max(1, round(WINDOW_SECONDS / max(self._step, 1e-6)))), self._step < LONG_STEP

    def _is_time_for(self, windows: int) -> bool:
        """Whether the fewest rounds of so many windows each end before the deadline."""
        steps, untimed = self._window
        return time.perf_counter() + FEWEST_ROUNDS * windows * (steps + untimed) * self._step < self._deadline

    def _rounds(self, options: Iterable[str], use: Callable[[str], None], fewest: int = 1) -> dict[str, list[float]]:
        """Return the seconds per step of each option in every round, until they tell which to use or time is up."""
        seconds: dict[str, list[float]] = {name: [] for name in options}
        window = self._window
        for number in range(MOST_ROUNDS):
            if number >= fewest and time.perf_counter() > self._deadline:
                break
            if number >= FEWEST_ROUNDS and not compare(seconds)[1]:
                break
            for name in list(seconds) if number % 2 else reversed(list(seconds)):
                use(name)
                seconds[name].append(seconds_of(self.engine, *window))
        return seconds

    def _use(self, chosen: Mapping[str, str]) -> None:
        use_options(self.engine, tuple(self.choices), chosen)

    def _check(self, chosen: Mapping[str, str], steps: int) -> EngineCheck:
        """Return the deviation of steps with the chosen options from those with the defaults."""
        self._use({})
        eager = eager_trajectories(self.engine, steps)
        self._use(chosen)
        return check_execution(self.engine, Eager(), eager, steps)


def _chance(successes: int, of: int) -> float:
    """Return the probability of at least so many successes if each has a chance of one half (sign test)."""
    return sum(math.comb(of, k) for k in range(successes, of + 1)) / 2.0**of


def _cache_path(key: bytes) -> Path:
    """Return where the choice for this cell is kept: by everything that its speed depends on."""
    facts = [
        machine.processor(),
        str(machine.usable_cores()),
        str(torch.get_num_threads()),
        machine.openmp_settings(),
        str(torch.__version__),
        __version__,
    ]
    digest = hashlib.sha256(key + b"\0" + msgspec.json.encode(facts)).hexdigest()
    return cache_directory() / "step-tuning" / f"{digest[:24]}.json"


def _read(path: Path) -> StepTuning | None:
    """Return the stored choice; None if there is none, or not a valid one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=StepTuning)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, found: StepTuning) -> None:
    """Store a choice; without a writable cache the next cell measures again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, msgspec.json.encode(found))
    except OSError:
        return
