"""Studies in Optuna's journal: what to try next, and what is known about every trial. Needs Optuna.

A trial enters the journal as one line with all its settings, before its cells are executed. So a killed command loses
no trial, counts none twice, and makes the same suggestions again: a suggestion depends on the trials before it and on a
seed that is derived from model and number. Optuna pickles only what its Redis storage and its CMA-ES sampler keep;
neither is used here, so nothing that is read from a journal is unpickled.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue
from genbench.errors import UsageError, near_miss
from genbench.planning.search_space import Choices, Space, Values

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("random", "tpe")
PRUNERS = ("none", "halving")
REDUCTION = 3  # successive halving trains one third of the trials for three times as many images
_MOST_RUNGS = 3


def require_optuna() -> None:
    """Raise `UsageError` if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Tuning needs Optuna: {error}.", "Install it: pip install 'genbench[tune]'", code="GB403"
        ) from error


def check_choice(flag: str, name: str, known: Sequence[str]) -> None:
    """Raise `UsageError` with the nearest name for an unknown sampler or pruner."""
    if name not in known:
        raise UsageError(
            f"Unknown {flag} '{name}'.{near_miss(name, known)}", f"{flag}: {', '.join(known)}.", code="GB101"
        )


@dataclass(frozen=True)
class Rung:
    """A budget that trials are trained for, and how many trials of each study get it."""

    images: int
    trials: int


def rungs(images: int, trials: int, pruner: str) -> list[Rung]:
    """Return the budgets of a study; they depend on no value, so that all studies have the same.

    Without a pruner, every trial gets the whole budget. With successive halving (Jamieson & Talwalkar 2016), all trials
    get a ninth of it, the best third of them a third, and the best ninth all of it.
    """
    count = 1
    if pruner == "halving":
        while count < _MOST_RUNGS and trials // REDUCTION**count >= 1 and images // REDUCTION**count >= 1:
            count += 1
    return [Rung(images // REDUCTION ** (count - 1 - rung), trials // REDUCTION**rung) for rung in range(count)]


@dataclass(frozen=True)
class KnownTrial:
    """What the journal knows about a trial."""

    number: int
    point: Mapping[str, OptionValue]  # by the names of dimensions
    finished: bool
    pruned: bool
    value: float | None
    reported: Mapping[int, float]  # rung -> value


class ModelStudy:
    """The study of one model, in the journal of a tuning."""

    def __init__(
        self, journal: Journal, model: str, space: Space, direction: Direction, sampler: str, seed: int,
        kept: Sequence[int],
    ) -> None:  # fmt: skip
        """Open or create it; `kept` is how many trials each rung has."""
        import optuna

        self.model, self.space, self.direction = model, space, direction
        self._sampler, self._seed = sampler, seed
        self._distributions = {dimension.name: _distribution(dimension.values) for dimension in space}
        with journal.readable():
            self._study = optuna.create_study(
                storage=journal.storage,
                study_name=model,
                direction=_DIRECTIONS[direction],
                sampler=optuna.samplers.RandomSampler(seed),  # not asked; see `suggest`
                pruner=_rung_pruner(kept, direction),
                load_if_exists=True,
            )
            self.trials()

    def trials(self) -> list[KnownTrial]:
        """Return every trial in the order of their numbers."""
        from optuna.trial import TrialState

        return [
            KnownTrial(
                number=trial.number,
                point=self._point(trial.params),
                finished=trial.state.is_finished(),
                pruned=trial.state == TrialState.PRUNED,
                value=_finite(trial.value) if trial.state == TrialState.COMPLETE else None,
                reported={rung: value for rung, value in trial.intermediate_values.items() if math.isfinite(value)},
            )
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def suggest(self) -> int:
        """Add the next trial to the journal; return its number."""
        import optuna

        known = self._study.get_trials(deepcopy=False)
        number = len(known)
        seed = random.Random(f"{self._seed} {self.model} {number}").getrandbits(32)
        sampler: optuna.samplers.BaseSampler = (
            optuna.samplers.RandomSampler(seed) if self._sampler == "random" else optuna.samplers.TPESampler(seed=seed)
        )
        # A copy in memory is asked: the journal then gets the trial as a whole, and not setting by setting.
        copy = optuna.create_study(direction=_DIRECTIONS[self.direction], sampler=sampler)
        copy.add_trials(known)
        asked = copy.ask(self._distributions)
        self._study.add_trial(
            optuna.create_trial(
                state=optuna.trial.TrialState.RUNNING, params=asked.params, distributions=self._distributions
            )
        )
        return number

    def report(self, number: int, rung: int, value: float) -> None:
        """Record the value that a trial has reached with the budget of a rung."""
        self._trial(number).report(value, rung)

    def prune(self, number: int) -> bool:
        """Return whether the pruner ends a trial with the values reported so far; if so, record it."""
        from optuna.trial import TrialState

        if not self._trial(number).should_prune():
            return False
        self._study.tell(number, state=TrialState.PRUNED)
        return True

    def complete(self, number: int, value: float | None) -> None:
        """Record the value of a trial; None: it failed."""
        from optuna.trial import TrialState

        if value is None or not math.isfinite(value):
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, value)

    def _trial(self, number: int) -> optuna.trial.Trial:
        import optuna

        return optuna.trial.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)

    def _point(self, params: Mapping[str, Any]) -> dict[str, OptionValue]:
        """Return the settings of a trial; raise KeyError if it lacks one of the space."""
        return {dimension.name: _value(dimension.values, params[dimension.name]) for dimension in self.space}


class Journal:
    """The journal file of a tuning; whoever opens it holds the lock of the tuning."""

    def __init__(self, path: Path) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.path = path
        _drop_torn_line(path)
        unlocked: Any = _Unlocked()
        with self.readable():
            self.storage = optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=unlocked))

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Turn what Optuna raises for a journal that it did not write into `UsageError`."""
        try:
            yield
        except (
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise UsageError(
                f"{self.path} is damaged: {type(error).__name__}: {error}.",
                "Restore it from a copy, or start a new tuning.",
                code="GB703",
            ) from error


_DIRECTIONS: Mapping[Direction, Literal["minimize", "maximize"]] = {"lower": "minimize", "higher": "maximize"}


class _Unlocked:
    """No lock: that of the tuning is held. Optuna's would stay behind after a kill, and delay the next command."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _drop_torn_line(path: Path) -> None:
    """Remove an incomplete last line, which a killed process leaves behind: Optuna would append to it."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def _distribution(values: Values) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, Choices):
        return CategoricalDistribution([_choice(value) for value in values.values])
    if values.integer:
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=int(values.step or 1))
    return FloatDistribution(values.low, values.high, log=values.log, step=values.step)


def _choice(value: OptionValue) -> bool | int | float | str | None:
    """Return a choice as Optuna stores it, which has no lists."""
    return json.dumps(value) if isinstance(value, list) else value


def _value(values: Values, stored: Any) -> OptionValue:
    if isinstance(values, Choices):
        return {_choice(value): value for value in values.values}[stored]
    return int(stored) if values.integer else float(stored)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _rung_pruner(kept: Sequence[int], direction: Direction) -> optuna.pruners.BasePruner:
    """Return the pruner of successive halving: at each rung, as many trials go on as the next one has room for.

    It is asked once all trials of the rung have a value, so the number that goes on, and with it the number of images,
    depends on no value. Optuna's own `SuccessiveHalvingPruner` decides with the values known so far.
    """
    import optuna

    class RungPruner(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            rung = trial.last_step
            if rung is None or rung + 1 >= len(kept):
                return False
            values = {
                other.number: other.intermediate_values[rung]
                for other in study.get_trials(deepcopy=False)
                if rung in other.intermediate_values
            }
            sign = 1 if direction == "lower" else -1
            best = sorted(values, key=lambda number: (sign * values[number], number))
            return trial.number not in best[: kept[rung + 1]]

    return RungPruner()
