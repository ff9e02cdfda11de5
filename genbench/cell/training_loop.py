"""Training a cell to its budget, in windows; everything but the steps happens off the clock."""

from __future__ import annotations

import base64
import gc
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch
from torch import Tensor

from genbench.measure.clock import time_window
from genbench.measure.throughput import WINDOW_SECONDS
from genbench.process.messages import Measured, Progress
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import CurvePoint, Window
from genbench.train.checkpoint import load_checkpoint, load_random_states, random_states, save_checkpoint
from genbench.train.divergence import Diverged
from genbench.train.engine import Engine
from genbench.train.process_group import World
from genbench.train.training_evidence import TrainingEvidence

WINDOWS = 40  # how many windows a training has, when its steps suffice
LONGEST_WINDOW = 200  # steps
SOON_DONE_AGAIN = 2.0  # seconds of training that are not worth a checkpoint at the end
MOST_SHOWN = 3  # terms on the line of progress
OBSERVED = 4  # every so many windows, samples are drawn for the curves


class Checkpoints(Protocol):
    """What looks at the model while it trains, off the clock."""

    def observe(self) -> dict[str, float | None]:
        """Return numbers for the curves, by name: how much samples differ, say."""

    def evaluate(self) -> bool:
        """Measure the model as it is; return whether training should stop here."""

    def measured(self) -> Measured:
        """Return what was measured last."""

    def state(self) -> dict[str, Any]:
        """Return plain data that a checkpoint must hold."""

    def load_state(self, notes: Any) -> None:
        """Go on where `state` was taken; raise ValueError where it cannot be read."""


@dataclass
class Training:
    """The course of a training: what a checkpoint carries over, beside the engine's own state.

    Of several processes that train one cell, each runs the same course; the main one alone evaluates and writes.
    """

    engine: Engine
    evidence: TrainingEvidence
    total_steps: int
    warmup_steps: int
    resume_path: Path
    checkpoint_seconds: float
    data_hash: str
    device: torch.device
    evaluator: Checkpoints | None = None
    evaluate_every: int = 0  # images; 0: never while training
    world: World = field(default_factory=World)
    _unsaved: bool = False  # done, but for the last checkpoint
    windows: list[Window] = field(default_factory=list)
    curves: list[CurvePoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resumed_at_step: int | None = None
    stopped_early: bool = False
    executed_by: str = "eager"  # the engine that does the steps

    @property
    def window_steps(self) -> int:
        """How many steps a window has."""
        return max(1, min(LONGEST_WINDOW, self.total_steps // WINDOWS))

    def resume(self) -> None:
        """Go on from the checkpoint of an interrupted process, if there is one; raise ValueError if it is no use."""
        self.world.fetch(self.resume_path)
        if not all(self.world.gather(self.resume_path.exists())):
            return
        tensors, notes = load_checkpoint(self.resume_path, self.engine)
        if notes.get("data_hash") != self.data_hash:
            raise ValueError("the data have changed since")
        try:
            self.evidence.load_state(tensors)
            self.windows = msgspec.convert(notes["windows"], list[Window])
            self.curves = msgspec.convert(notes["curves"], list[CurvePoint])
            self.notes = msgspec.convert(notes["notes"], list[str])
            self.stopped_early = bool(notes["stopped_early"])
            self.executed_by = str(notes.get("executed_by", "eager"))
            if self.evaluator is not None:
                self.evaluator.load_state(notes["looks"])
            if self.world.rank:
                load_random_states(self.engine, tensors[_of_rank(self.world.rank)].numpy().tobytes())
        except (KeyError, msgspec.ValidationError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        self.resumed_at_step = self.engine.step_number

    def run(self, channel: WorkerChannel) -> None:
        """Train to the budget. Raises `Diverged`, or `StopRequested` after saving a checkpoint."""
        engine = self.engine
        channel.defer_stop()
        gc.collect()
        gc.freeze()
        saved = time.monotonic()
        # A process warms up once, whether it begins a training or goes on with one; a short one warms up for half.
        warmup_left = min(self.warmup_steps, max(1, (self.total_steps - engine.step_number) // 2))
        looked = False
        while engine.step_number < self.total_steps and not self.stopped_early:
            planned = min(self._steps_to_next_stop(), warmup_left or self.window_steps)
            if self.world.size > 1:
                planned = self._in_time(planned)
            self._train_window(planned, warmup=warmup_left > 0)
            warmup_left = max(0, warmup_left - self.windows[-1].steps)
            if not looked:
                self.evidence.check_gradients()
                looked = True
            channel.progress(self._progress())
            if self._evaluation_is_due() and self.evaluator is not None:
                channel.activity("evaluating")
                self.stopped_early = self.world.shared(self.evaluator.evaluate)
                if self.world.main:
                    channel.say(self.evaluator.measured())
                channel.activity("training")
            too_old = time.monotonic() - saved > self.checkpoint_seconds
            stopping = any(self.world.gather(channel.stop_requested))
            if stopping or self.world.shared(lambda: too_old):  # noqa: B023 - called here
                self.save()
                saved = time.monotonic()
            if stopping:
                raise StopRequested
        self._unsaved = True
        # Later the main process of several is alone, and cannot save what the others know.
        if self.world.size > 1 or time.monotonic() - saved > min(self.checkpoint_seconds, SOON_DONE_AGAIN):
            self.save()
        channel.allow_stop()

    @contextmanager
    def saved_when_stopped(self) -> Iterator[None]:
        """Write the last checkpoint, where it was spared, if somebody asks to stop inside; nothing may train there."""
        try:
            yield
        except StopRequested:
            if self._unsaved:
                self.save()
            raise

    def save(self) -> None:
        """Write the checkpoint; a full disk, or state that is no tensor, costs the possibility to resume here only."""
        self._unsaved = False
        others = self.world.gather(base64.b64encode(random_states(self.engine)).decode() if self.world.rank else "")
        self.world.shared(lambda: self._write(others))

    def _write(self, others: Sequence[str]) -> None:
        extra = self.evidence.state()
        for rank, states in enumerate(others[1:], start=1):
            extra[_of_rank(rank)] = torch.frombuffer(bytearray(base64.b64decode(states)), dtype=torch.uint8)
        notes = {
            "windows": self.windows,
            "curves": self.curves,
            "notes": self.notes,
            "data_hash": self.data_hash,
            "stopped_early": self.stopped_early,
            "executed_by": self.executed_by,
            "looks": self.evaluator.state() if self.evaluator else None,
        }
        plain: dict[str, Any] = msgspec.to_builtins(notes)
        try:
            save_checkpoint(self.resume_path, self.engine, extra, plain)
        except Exception as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            note = f"no checkpoint could be written ({reason}): an interrupted cell would start again"
            if note not in self.notes:
                self.notes.append(note)

    def _in_time(self, steps: int) -> int:
        """Return how many of these steps fit into a window by the speed of the last: processes must agree beforehand.

        Where no speed is known, it is one.
        """
        last = self.windows[-1] if self.windows else None
        fitting = int(WINDOW_SECONDS * last.steps / last.seconds) if last and last.seconds else 1
        return self.world.shared(lambda: max(1, min(steps, fitting)))

    def _steps_to_next_stop(self) -> int:
        """Return how many steps are left until the budget's end, or the next evaluation."""
        left = self.total_steps - self.engine.step_number
        if not self.evaluate_every:
            return left
        images = self.evaluate_every - self.engine.images_seen % self.evaluate_every
        return min(left, -(-images // self.engine.images_per_step))

    def _evaluation_is_due(self) -> bool:
        """Say whether the window just done crossed a multiple of `evaluate_every`, before the budget's end."""
        if not self.evaluate_every or self.engine.step_number >= self.total_steps:
            return False
        before = self.engine.images_seen - self.windows[-1].images
        return self.engine.images_seen // self.evaluate_every > before // self.evaluate_every

    def _train_window(self, steps: int, warmup: bool) -> None:
        engine = self.engine
        first_step, images_before = engine.step_number, engine.images_seen
        gc.disable()
        try:
            together = self.world.meet if self.world.size > 1 else None
            done, seconds = time_window(engine.step, steps, self.device, meet=together)
        finally:
            gc.enable()
        values = self.world.mean(engine.read_terms())
        gc.collect()
        means = {name: _mean(series) for name, series in values.items()}
        for network, norm in engine.gradient_norms().items():
            means[f"gradient_norm.{network}"] = norm if math.isfinite(norm) else None
        self.windows.append(
            Window(
                step=engine.step_number,
                steps=done,
                images=engine.images_seen - images_before,
                seconds=seconds,
                warmup=warmup,
            )
        )
        self.curves.append(CurvePoint(step=engine.step_number, images=engine.images_seen, terms=means))
        _require_finite(values, first_step, done)
        if self.evaluator is not None and self.world.main and len(self.windows) % OBSERVED == 0:
            seen = {**means, **self.evaluator.observe()}
            self.curves[-1] = msgspec.structs.replace(self.curves[-1], terms=seen)

    def _fitting_on_a_line(self, terms: Iterable[str]) -> list[str]:
        """Return the loss of each phase; of a single phase, the terms that it is made of too."""
        phases = [player.phase.name for player in self.engine.players]
        shown = [name for name in terms if name in phases or (len(phases) == 1 and name.startswith(f"{phases[0]}."))]
        return shown[:MOST_SHOWN]

    def _progress(self) -> Progress:
        last, terms = self.windows[-1], self.curves[-1].terms
        left = self.total_steps - self.engine.step_number
        return Progress(
            step=self.engine.step_number,
            images=self.engine.images_seen,
            images_per_second=last.images / last.seconds if last.seconds else 0.0,
            terms=terms,
            shown=self._fitting_on_a_line(terms),
            seconds_left=left * last.seconds / last.steps,
            warmup=last.warmup,
        )


def _of_rank(rank: int) -> str:
    return f"random states of rank {rank}"


def _mean(series: Tensor) -> float | None:
    mean = float(series.mean())
    return mean if math.isfinite(mean) else None


def _require_finite(values: Mapping[str, Tensor], first_step: int, steps: int) -> None:
    """Raise `Diverged` naming the first step, and the loss term, that is not finite."""
    worst: tuple[int, str] | None = None
    for name, series in values.items():
        bad = (~series.isfinite()).nonzero()
        if len(bad):
            step = first_step + 1 + int(bad[0]) * steps // len(series)
            worst = min(worst or (step, name), (step, name))
    if worst:
        raise Diverged(f"the loss '{worst[1]}' is not finite from step {worst[0]} on", worst[0])
