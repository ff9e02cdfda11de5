"""The whole step as one captured graph, which the GPU replays without the host launching each operation.

If some phases do not run in every step, there are several kinds of steps, each with a graph of its own. A replay runs
no Python: whatever the host counts or decides is copied to the device before it. The averaged weights, whose decay the
host computes, are updated after the replay, as in eager steps.
"""

from __future__ import annotations

from collections import Counter, defaultdict
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

ROWS = 256  # of losses that are kept on the device before they are copied; more than steps in a window
WARM_UP = 3  # steps of each kind before it is captured, as in torch's own wrapper


class _Losses:
    """The losses of replayed steps, which a captured step writes to consecutive rows, so that no replay copies them."""

    def __init__(self, series: list[tuple[Player, str]], device: torch.device) -> None:
        self.series = series  # by column: the player and the term; '': the total
        self.rows = torch.zeros(ROWS, len(series), device=device)
        self.next_row = torch.zeros(1, dtype=torch.int64, device=device)

    def store(self, players: Sequence[Player]) -> None:
        """Write what the phases have recorded to the next row; to be captured."""
        values = torch.stack([value.float() for _, _, value in _recorded_losses(players)])
        self.rows.index_copy_(0, self.next_row, values[None])
        self.next_row.add_(1)

    def take(self, count: int) -> list[Sequence[Tensor]]:
        """Return copies of the first rows, and begin again with the first."""
        self.next_row.zero_()
        return [row.unbind() for row in self.rows[:count].clone().unbind()]


@dataclass(frozen=True)
class _CapturedStep:
    """A captured step of one kind."""

    replay: Callable[[], None]
    batches: int  # that it consumes
    losses: _Losses | None
    gradients: list[tuple[nn.Parameter, Tensor | None]]  # of the trained parameters, after the last replay

    def publish_gradients(self) -> None:
        """Store the gradients where an eager step would."""
        for parameter, gradient in self.gradients:
            if parameter.grad is not gradient:  # a step of another kind, or an eager one, ran in between
                parameter.grad = gradient


class Graphed(Execution):
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
        self.notes = inner.notes if inner else ()
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
        self._replayed: list[_CapturedStep] = []  # steps whose losses were not delivered yet, in order
        self.uses_progress = False
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
            self.deliver()
            engine.write_progress()
            self._inner.run(engine, due)
            return
        if len(self._replayed) == ROWS:
            self.deliver()
        self._optimizers.update_learning_rates()
        self._inputs.prepare(captured.batches)
        captured.replay()
        self._replayed.append(captured)
        captured.publish_gradients()

    def deliver(self) -> None:
        """Store the losses of the steps since the last call where eager steps would."""
        counts = Counter(id(captured.losses) for captured in self._replayed)
        taken: dict[int, Iterator[Sequence[Tensor]]] = {}
        for captured in self._replayed:
            losses = captured.losses
            if losses is None:
                continue
            if id(losses) not in taken:
                taken[id(losses)] = iter(losses.take(counts[id(losses)]))
            for (player, term), value in zip(losses.series, next(taken[id(losses)]), strict=True):
                (player.terms[term] if term else player.totals).append(value)
        self._replayed = []

    def close(self) -> None:
        """Release the graphs and their memory."""
        self.deliver()
        self._captured.clear()
        self._inner.close()

    def _capture(self, engine: Engine, due: Sequence[Player], recorder: Recorder) -> _CapturedStep:
        """Warm up and capture one kind of step."""
        batches = _batches(due)
        losses: _Losses | None = None

        def step() -> None:
            self._inner.run(engine, due)
            if losses is not None:
                losses.store(engine.players)

        with self._static_inputs(engine), self._optimizers.capturable():
            self._inputs.prepare(batches)
            self.uses_progress |= engine.reads_progress(due)
            for _ in range(WARM_UP):
                self._inputs.prepare(batches)
                with _separate_losses(engine):
                    recorder.warm_up(step)  # which stores losses too, once it is known how many there are
                    series = [(player, term) for player, term, _ in _recorded_losses(engine.players)]
                losses = losses or (_Losses(series, self._device) if series else None)
            _clear_gradients(engine)  # the captured step then allocates its own, which keep their memory
            self._inputs.prepare(batches)
            self._data.close()  # a thread that gathers images must not use the GPU during the capture
            with _separate_losses(engine), no_host_randomness(self._device):
                replay = recorder.record(step, self._generators(engine))
            self._inputs.invalidate()
            if losses is not None:
                losses.take(0)
        trained = {p for player in due if player.optimizer is not None for p in player.parameters}
        gradients = [(p, p.grad) for p in _parameters(engine) if p.grad is not None or p in trained]
        return _CapturedStep(replay, batches, losses, gradients)

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
