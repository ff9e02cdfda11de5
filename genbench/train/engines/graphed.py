"""The whole step as one captured graph, which the GPU replays without the host launching each operation.

Phases that run in each k-th step only make several kinds of steps; each kind has a graph of its own. A replay runs no
Python: what the host counts or decides is told to the device before it. The average of the weights, whose decay is the
host's, is taken after the replay as it is eagerly.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from genbench.data.resident import ResidentImages
from genbench.data.source import TrainingImages
from genbench.train.engine import Eager, Engine, EngineUnavailable, Execution, Player
from genbench.train.engines.capturable import CapturableOptimizers
from genbench.train.engines.capture import CudaRecorder, Recorder, no_randomness_of_the_host, why_not_captured
from genbench.train.engines.inputs import make_feed
from genbench.train.state import thaw

WARM_UP = 3  # steps of each kind before it is captured: torch's own wrapper takes as many
_LONGEST_PERIOD = 10**6  # steps


@dataclass(frozen=True)
class _Captured:
    """A kind of step, captured."""

    replay: Callable[[], None]
    batches: int  # that it takes
    losses: Tensor | None  # float32 (n,), as the last replay left them
    series: list[tuple[Player, str]]  # whose they are; '': the total
    gradients: list[tuple[nn.Parameter, Tensor | None]]  # of what it trains, as the last replay left them

    def hand_over(self) -> None:
        """Give losses and gradients to those who would have them of an eager step."""
        if self.losses is not None:
            for (player, term), value in zip(self.series, self.losses.clone().unbind(), strict=True):
                (player.terms[term] if term else player.totals).append(value)
        for parameter, gradient in self.gradients:
            if parameter.grad is not gradient:  # another kind of step, or an eager one, has come in between
                parameter.grad = gradient


class Graphed:
    """Replays the step.

    To construct it captures each kind of step, after some steps for warming up: call it inside `state_kept`. From then
    on parameters, buffers and the optimisers' state have to stay where they are; to load a state changes them in place.

    Args:
        engine: what is captured, in the shapes and the precision that it has now.
        inner: executes the step that is captured: with compiled networks, say; None: eagerly. It is closed with this.
        recorder: captures; None: in CUDA graphs.

    Raises `EngineUnavailable` where the step cannot be captured.
    """

    def __init__(self, engine: Engine, inner: Execution | None = None, recorder: Recorder | None = None) -> None:
        self.name = f"graph+{inner.name}" if inner else "graph"
        self.notes: Sequence[str] = inner.notes if inner else ()
        self._inner = inner or Eager()
        self._device = engine.rng.device
        self._precision = engine.precision
        self._optimizers = CapturableOptimizers(
            (player.optimizer for player in engine.players if player.optimizer is not None),
            scheduled=engine.rules.schedule is not None,
            device=self._device,
        )
        kinds = kinds_of_steps(engine.players)
        self._feed = make_feed(engine.data, max(map(_batches, kinds)))
        self._captured: dict[tuple[str, ...], _Captured] = {}
        reason = ""
        try:
            # In the first kind of step every phase is due, so it holds gradients of all that any kind trains. Those of
            # a third kind, which steps of a second are to leave alone, would not be safe from the second's replays.
            recorder = recorder or CudaRecorder(self._device, share=len(kinds) <= 2)
            for due in kinds:
                self._captured[_key(due)] = self._capture(engine, due, recorder)
        except Exception as error:
            self._captured.clear()
            _let_go_of_gradients(engine)
            thaw(engine)
            reason = why_not_captured(error, lambda: engine.run_phases(engine.players), self._device)
            thaw(engine)
        if reason:  # raised here, where the error and all memory that its frames hold are gone
            raise EngineUnavailable(reason)

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Replay the step; run it eagerly where somebody looks into it, or where it is not what was captured."""
        captured = self._captured.get(_key(due))
        if captured is None or engine.observer is not None or engine.precision != self._precision:
            self._inner.run(engine, due)
            return
        self._optimizers.refresh()
        self._feed.prepare(captured.batches)
        captured.replay()
        captured.hand_over()

    def close(self) -> None:
        """Let go of the graphs and their memory."""
        self._captured.clear()
        self._inner.close()

    def _capture(self, engine: Engine, due: Sequence[Player], recorder: Recorder) -> _Captured:
        """Warm up and capture one kind of step."""
        batches = _batches(due)
        losses: Tensor | None = None
        series: list[tuple[Player, str]] = []

        def step() -> None:
            nonlocal losses
            self._inner.run(engine, due)
            taken = _losses(engine.players)
            series.extend((player, term) for player, term, _ in taken)
            if taken:
                losses = torch.stack([value.float() for _, _, value in taken])

        with self._fed(engine), self._optimizers.in_force():
            for _ in range(WARM_UP):
                self._feed.prepare(batches)
                recorder.warm_up(lambda: self._inner.run(engine, due))
            _let_go_of_gradients(engine)  # the step then makes its own, which stay where they are
            self._feed.prepare(batches)
            self._data.close()  # no thread that gathers images may use the GPU during the capture
            with _losses_apart(engine), no_randomness_of_the_host(self._device):
                replay = recorder.record(step, self._generators(engine))
            self._feed.forget()
        trained = {p for player in due if player.optimizer is not None for p in player.parameters}
        gradients = [(p, p.grad) for p in _parameters(engine) if p.grad is not None or p in trained]
        return _Captured(replay, batches, losses, series, gradients)

    @contextmanager
    def _fed(self, engine: Engine) -> Iterator[None]:
        """Have the engine take its images from where the captured step will."""
        self._data = engine.data
        engine.data = cast(TrainingImages, self._feed)
        try:
            yield
        finally:
            engine.data = self._data

    def _generators(self, engine: Engine) -> list[torch.Generator]:
        """Return the generators that a captured step draws from, beside the global one."""
        transform = self._data.finish.transform if isinstance(self._data, ResidentImages) else None
        return [engine.rng, transform.rng] if transform is not None else [engine.rng]


def kinds_of_steps(players: Sequence[Player]) -> list[list[Player]]:
    """Return the phases that are due together in some step, for each kind of step once; the first step's come first.

    Raises `EngineUnavailable` where it takes more than a million steps until everything repeats.
    """
    period = math.lcm(*(player.phase.every for player in players))
    if period > _LONGEST_PERIOD:
        raise EngineUnavailable(f"its phases are due together only in each {period:,}th step; use the engine eager")
    kinds: dict[tuple[str, ...], list[Player]] = {}
    for number in range(period):
        due = [player for player in players if number % player.phase.every == 0]
        kinds.setdefault(_key(due), due)
    return list(kinds.values())


def _key(due: Sequence[Player]) -> tuple[str, ...]:
    return tuple([player.phase.name for player in due])


def _batches(due: Sequence[Player]) -> int:
    return 1 + sum(player.phase.repeats - 1 for player in due)


def _losses(players: Sequence[Player]) -> list[tuple[Player, str, Tensor]]:
    """Return what the phases have noted: totals (without a name) and terms, each with its player."""
    taken = []
    for player in players:
        for term, values in {"": player.totals, **player.terms}.items():
            taken += [(player, term, value) for value in values]
    return taken


@contextmanager
def _losses_apart(engine: Engine) -> Iterator[None]:
    """Put aside what the phases have noted, and forget what they note inside."""
    before = [(player.totals, player.terms) for player in engine.players]
    for player in engine.players:
        player.totals, player.terms = [], defaultdict(list)
    try:
        yield
    finally:
        for player, (totals, terms) in zip(engine.players, before, strict=True):
            player.totals, player.terms = totals, terms


def _parameters(engine: Engine) -> list[nn.Parameter]:
    return list(dict.fromkeys(p for network in engine.networks.values() for p in network.parameters()))


def _let_go_of_gradients(engine: Engine) -> None:
    for parameter in _parameters(engine):
        parameter.grad = None
