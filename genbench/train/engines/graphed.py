"""The whole step as one captured graph, which the GPU replays without the host launching each operation.

If some phases do not run in every step, there are several kinds of steps, each with a graph of its own. A replay runs
no Python: whatever the host counts or decides is copied to the device before it. The averaged weights, whose decay the
host computes, are updated after the replay, as in eager steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from genbench.data.resident import ResidentImages
from genbench.data.source import TrainingImages
from genbench.train.engine import Eager, Engine, EngineUnavailable, Execution
from genbench.train.engines.capturable import CapturableOptimizers
from genbench.train.engines.capture import CudaRecorder, Recorder, explain_failure, no_host_randomness
from genbench.train.engines.inputs import make_inputs
from genbench.train.player import Player
from genbench.train.state import thaw
from genbench.train.step_kinds import step_kinds

WARM_UP = 3  # steps of each kind before it is captured, as in torch's own wrapper


@dataclass(frozen=True)
class _CapturedStep:
    """A captured step of one kind."""

    replay: Callable[[], None]
    batches: int  # that it consumes
    losses: Tensor | None  # float32 (n,), after the last replay
    series: list[tuple[Player, str]]  # by loss: the player and the term; '': the total
    gradients: list[tuple[nn.Parameter, Tensor | None]]  # of the trained parameters, after the last replay

    def publish(self) -> None:
        """Store losses and gradients where an eager step would."""
        if self.losses is not None:
            for (player, term), value in zip(self.series, self.losses.clone().unbind(), strict=True):
                (player.terms[term] if term else player.totals).append(value)
        for parameter, gradient in self.gradients:
            if parameter.grad is not gradient:  # a step of another kind, or an eager one, ran in between
                parameter.grad = gradient


class Graphed:
    """Replays the step.

    The constructor captures each kind of step after some warm-up steps: call it inside `state_kept`. From then on,
    parameters, buffers and the state of the optimisers must keep their memory; loading a state changes them in place.

    Args:
        engine: the engine to capture, in its current shapes and precision.
        inner: executes the captured step, for example with compiled networks; None: eagerly. It is closed with this.
        recorder: captures steps; None: as CUDA graphs.

    Raises `EngineUnavailable` if the step cannot be captured.
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
        kinds = due_players(engine.players)
        self._inputs = make_inputs(engine.data, max(map(_batches, kinds)))
        self._captured: dict[tuple[str, ...], _CapturedStep] = {}
        reason = ""
        try:
            # In the first kind of step every phase is due, so it holds the gradients of all trained parameters. With a
            # shared pool, replays of the second kind could overwrite gradients of a third.
            recorder = recorder or CudaRecorder(self._device, share=len(kinds) <= 2)
            for due in kinds:
                self._captured[_key(due)] = self._capture(engine, due, recorder)
        except Exception as error:
            self._captured.clear()
            _clear_gradients(engine)
            thaw(engine)
            reason = explain_failure(error, lambda: engine.run_phases(engine.players), self._device)
            thaw(engine)
        if reason:  # raised here, after the error and the memory held by its frames are released
            raise EngineUnavailable(reason)

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Replay the step; run it without the graph if there is an observer, or if it was not captured like this."""
        captured = self._captured.get(_key(due))
        if captured is None or engine.observer is not None or engine.precision != self._precision:
            self._inner.run(engine, due)
            return
        self._optimizers.update_learning_rates()
        self._inputs.prepare(captured.batches)
        captured.replay()
        captured.publish()

    def close(self) -> None:
        """Release the graphs and their memory."""
        self._captured.clear()
        self._inner.close()

    def _capture(self, engine: Engine, due: Sequence[Player], recorder: Recorder) -> _CapturedStep:
        """Warm up and capture one kind of step."""
        batches = _batches(due)
        losses: Tensor | None = None
        series: list[tuple[Player, str]] = []

        def step() -> None:
            nonlocal losses
            self._inner.run(engine, due)
            recorded = _recorded_losses(engine.players)
            series.extend((player, term) for player, term, _ in recorded)
            if recorded:
                losses = torch.stack([value.float() for _, _, value in recorded])

        with self._static_inputs(engine), self._optimizers.capturable():
            for _ in range(WARM_UP):
                self._inputs.prepare(batches)
                recorder.warm_up(lambda: self._inner.run(engine, due))
            _clear_gradients(engine)  # the captured step then allocates its own, which keep their memory
            self._inputs.prepare(batches)
            self._data.close()  # a thread that gathers images must not use the GPU during the capture
            with _separate_losses(engine), no_host_randomness(self._device):
                replay = recorder.record(step, self._generators(engine))
            self._inputs.invalidate()
        trained = {p for player in due if player.optimizer is not None for p in player.parameters}
        gradients = [(p, p.grad) for p in _parameters(engine) if p.grad is not None or p in trained]
        return _CapturedStep(replay, batches, losses, series, gradients)

    @contextmanager
    def _static_inputs(self, engine: Engine) -> Iterator[None]:
        """Let the engine read its images from the memory that the captured step reads."""
        self._data = engine.data
        engine.data = cast(TrainingImages, self._inputs)
        try:
            yield
        finally:
            engine.data = self._data

    def _generators(self, engine: Engine) -> list[torch.Generator]:
        """Return the generators that a captured step draws from, in addition to the global one."""
        transform = self._data.finish.transform if isinstance(self._data, ResidentImages) else None
        return [engine.rng, transform.rng] if transform is not None else [engine.rng]


def due_players(players: Sequence[Player]) -> list[list[Player]]:
    """Return, for each kind of step, the players whose phases are due; the kind of the first step comes first.

    Raises `EngineUnavailable` if the pattern repeats only after more than a million steps.
    """
    try:
        numbers = step_kinds(player.phase.every for player in players)
    except ValueError as error:
        raise EngineUnavailable(f"{error}; use the engine eager") from None
    return [[player for player in players if number % player.phase.every == 0] for number in numbers]


def _key(due: Sequence[Player]) -> tuple[str, ...]:
    return tuple([player.phase.name for player in due])


def _batches(due: Sequence[Player]) -> int:
    return 1 + sum(player.phase.repeats - 1 for player in due)


def _recorded_losses(players: Sequence[Player]) -> list[tuple[Player, str, Tensor]]:
    """Return the losses that the phases have recorded: player, term ('' for the total), value."""
    found = []
    for player in players:
        for term, values in {"": player.totals, **player.terms}.items():
            found += [(player, term, value) for value in values]
    return found


@contextmanager
def _separate_losses(engine: Engine) -> Iterator[None]:
    """Let the phases record losses in empty lists inside; restore the previous ones on exit."""
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


def _clear_gradients(engine: Engine) -> None:
    for parameter in _parameters(engine):
        parameter.grad = None
