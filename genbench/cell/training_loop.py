"""The training loop of a cell: windows of steps up to the budget; everything but the steps is off the clock."""

from __future__ import annotations

import base64
import gc
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import torch
from torch import Tensor

from genbench.cell.turn import Turn
from genbench.measure.clock import ACCELERATOR_WARMUP_SECONDS, time_window
from genbench.measure.memory import PeakMemory
from genbench.measure.throughput import WINDOW_SECONDS
from genbench.process.messages import Measured, Progress
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import CurvePoint, MemoryFormatName, Window
from genbench.train.checkpoint import load_checkpoint, load_random_states, random_states, save_checkpoint
from genbench.train.divergence import Diverged
from genbench.train.engine import Engine
from genbench.train.memory_format import format_name
from genbench.train.process_group import World
from genbench.train.torch_setup import threads_used
from genbench.train.training_evidence import TrainingEvidence

WINDOWS = 40  # per training, if it has enough steps
LONGEST_WINDOW = 200  # steps
UNSAVED_SECONDS = 2.0  # training time at the end that is not worth a checkpoint
MAX_SHOWN_TERMS = 3  # on the progress line
EngineName = Literal["eager", "compile", "graph", "graph+compile"]
OBSERVED_EVERY = 4  # windows between observations: a few samples, and their diversity as a curve


class TrainingEvaluator(Protocol):
    """Evaluates the model during training, off the clock."""

    def observe(self) -> dict[str, float | None]:
        """Draw a few samples and return values for the curves, by name."""

    def observe_end(self) -> None:
        """Draw a few samples before the first step, or after the last one."""

    def evaluate(self) -> bool:
        """Measure the current model; return whether training should stop."""

    def measured(self) -> Measured:
        """Return the latest evaluation."""

    def state(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""

    def tensors(self) -> dict[str, Tensor]:
        """Return tensors for a checkpoint."""

    def load_state(self, notes: Any, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` and `tensors` returned; raise ValueError if it is not valid."""


class _Notes(msgspec.Struct, frozen=True):
    """What a checkpoint stores in addition to the engine's state."""

    windows: list[Window]
    curves: list[CurvePoint]
    notes: list[str]
    stopped_early: bool
    executed_by: EngineName = "eager"  # not in checkpoints of early versions
    memory_format: MemoryFormatName | None = None  # None: by an earlier version, channels_last where it mattered
    step_options: dict[str, str] = {}  # other than the defaults, which earlier versions used
    looks: Any = None  # the evaluations


@dataclass
class _Warmup:
    """Steps that are not timed: at least `steps` that last `seconds` together, but no more than `most`."""

    steps: int
    most: int
    seconds: float
    done: int = 0
    spent: float = 0.0  # seconds

    @property
    def steps_left(self) -> int:
        """Number of steps that are still needed; 0: the warm-up is over."""
        if self.done < self.steps:
            return self.steps - self.done
        if self.spent >= self.seconds or self.done >= self.most:
            return 0
        needed = math.ceil((self.seconds - self.spent) * self.done / self.spent) if self.spent else 1
        return max(1, min(needed, self.most - self.done))

    def count(self, window: Window) -> None:
        """Count a window that was trained."""
        if window.warmup:
            self.done += window.steps
            self.spent += window.seconds


@dataclass
class Training:
    """A training: its loop, and what a checkpoint stores in addition to the engine's state.

    If several processes train one cell, all run the same loop, but only the main rank evaluates and writes.
    """

    engine: Engine
    evidence: TrainingEvidence
    total_steps: int
    warmup_steps: int
    resume_path: Path
    checkpoint_seconds: float
    data_hash: str
    device: torch.device
    memory: PeakMemory
    evaluator: TrainingEvaluator | None = None
    evaluate_every: int = 0  # images; 0: never during training
    world: World = field(default_factory=World)
    turn: Turn = field(default_factory=Turn)  # with other cells
    _unsaved: bool = False  # finished without a last checkpoint
    windows: list[Window] = field(default_factory=list)
    curves: list[CurvePoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resumed_at_step: int | None = None
    stopped_early: bool = False
    executed_by: str = "eager"  # the engine that executes the steps
    memory_format: MemoryFormatName | None = None  # of the steps before an interruption
    step_options: dict[str, str] = field(default_factory=dict)  # chosen by the tuner of the step
    threads: int = field(default_factory=torch.get_num_threads)  # of evaluations: steps may use fewer

    @property
    def window_steps(self) -> int:
        """Number of steps in a window."""
        return max(1, min(LONGEST_WINDOW, self.total_steps // WINDOWS))

    def resume(self) -> None:
        """Resume from the checkpoint of an interrupted process, if any; raise ValueError if it cannot be used."""
        self.world.broadcast_file(self.resume_path)
        if not all(self.world.all_gather(self.resume_path.exists())):
            return
        tensors, notes = load_checkpoint(self.resume_path, self.engine)
        if notes.get("data_hash") != self.data_hash:
            raise ValueError("the data have changed since it was written")
        try:
            noted = msgspec.convert(notes, _Notes)
            _require_possible(noted, self.engine, self.total_steps)
            self.evidence.load_state(tensors)
            self.windows, self.curves, self.notes = noted.windows, noted.curves, noted.notes
            self.stopped_early, self.executed_by = noted.stopped_early, noted.executed_by
            self.memory_format = noted.memory_format or "channels_last"
            self.step_options = noted.step_options
            if self.evaluator is not None:
                self.evaluator.load_state(noted.looks, tensors)
            if self.world.rank:
                load_random_states(self.engine, tensors[_random_states_key(self.world.rank)].numpy().tobytes())
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        self.resumed_at_step = self.engine.step_number

    def run(self, channel: WorkerChannel) -> None:
        """Train for the whole budget. Raises `Diverged`, or `StopRequested` after saving a checkpoint."""
        channel.defer_stop()
        try:
            self._run(channel)
        finally:
            self.turn.release()
        channel.allow_stop()

    def _run(self, channel: WorkerChannel) -> None:
        engine = self.engine
        gc.collect()
        gc.freeze()
        if self.engine.step_number == 0:
            self._observe_end()
        saved = time.monotonic()
        warmup = self._warmup()
        checked = False
        while engine.step_number < self.total_steps and not self.stopped_early:
            warmup_steps = self.world.broadcast(lambda: warmup.steps_left)
            planned = min(self._steps_to_next_stop(), warmup_steps or self.window_steps)
            if self.world.size > 1 or self.device.type != "cpu":
                planned = self._agreed_steps(planned)
            self._take_turn(channel)
            self._train_window(planned, warmup=warmup_steps > 0)
            warmup.count(self.windows[-1])
            if not checked:
                self.evidence.check_gradients()
                checked = True
            channel.progress(self._progress())
            if self._evaluation_is_due() and self.evaluator is not None:
                self.turn.release()
                channel.activity("evaluating")
                with threads_used(self.threads):
                    self.stopped_early = self.world.broadcast(self.evaluator.evaluate)
                if self.world.main:
                    channel.say(self.evaluator.measured())
                channel.activity("training")
            due = time.monotonic() - saved > self.checkpoint_seconds
            stopping = any(self.world.all_gather(channel.stop_requested))
            if stopping or self.world.broadcast(lambda: due):  # noqa: B023 - called here
                self.save()
                saved = time.monotonic()
            if stopping:
                raise StopRequested
        self.turn.release()
        self._observe_end()
        self._unsaved = True
        # The main rank cannot save later, because the other ranks, whose random states it needs, will have exited.
        if self.world.size > 1 or time.monotonic() - saved > min(self.checkpoint_seconds, UNSAVED_SECONDS):
            self.save()

    def _take_turn(self, channel: WorkerChannel) -> None:
        """Wait until no other cell trains; raises `StopRequested` after saving a checkpoint."""
        if not self.turn.take(lambda: channel.stop_requested):
            self.save()
            raise StopRequested

    def repeat(self, windows: Sequence[int], warmup_steps: int) -> None:
        """Train windows of exactly these numbers of steps, however long they take; raise `Diverged`."""
        gc.collect()
        self._observe_end()
        for steps in windows:
            self._train_window(steps, warmup=self.engine.step_number < warmup_steps, whole=True)

    @contextmanager
    def save_on_stop(self) -> Iterator[None]:
        """On a request to stop inside, write the last checkpoint if it was skipped; nothing may train inside."""
        try:
            yield
        except StopRequested:
            if self._unsaved:
                self.save()
            raise

    def save(self) -> None:
        """Write the checkpoint; with a full disk, or state that is not a tensor, only resuming from here is lost."""
        self._unsaved = False
        others = self.world.all_gather(base64.b64encode(random_states(self.engine)).decode() if self.world.rank else "")
        self.world.broadcast(lambda: self._write(others))

    def _write(self, others: Sequence[str]) -> None:
        extra = self.evidence.state() | (self.evaluator.tensors() if self.evaluator else {})
        for rank, states in enumerate(others[1:], start=1):
            extra[_random_states_key(rank)] = torch.frombuffer(bytearray(base64.b64decode(states)), dtype=torch.uint8)
        notes = {
            "windows": self.windows,
            "curves": self.curves,
            "notes": self.notes,
            "data_hash": self.data_hash,
            "stopped_early": self.stopped_early,
            "executed_by": self.executed_by,
            "memory_format": format_name(self.engine.memory_format),
            "step_options": self.step_options,
            "looks": self.evaluator.state() if self.evaluator else None,
        }
        plain: dict[str, Any] = msgspec.to_builtins(notes)
        try:
            save_checkpoint(self.resume_path, self.engine, extra, plain)
        except Exception as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            note = f"no checkpoint could be written ({reason}): an interrupted cell would start from the beginning"
            if note not in self.notes:
                self.notes.append(note)

    def _observe_end(self) -> None:
        if self.evaluator is not None and self.world.main:
            self.evaluator.observe_end()

    def _warmup(self) -> _Warmup:
        """Every process warms up once, also after resuming; a short training uses half its steps for that."""
        most = max(1, (self.total_steps - self.engine.step_number) // 2) if self.warmup_steps else 0
        seconds = 0.0 if self.device.type == "cpu" else ACCELERATOR_WARMUP_SECONDS
        return _Warmup(min(self.warmup_steps, most), most, seconds)

    def _agreed_steps(self, steps: int) -> int:
        """Return how many of these steps fit into a window; with several ranks, the same number on all of them.

        It is estimated from the speed of the last window; without one, it is 1. A window cannot be ended by the clock
        where all ranks must run the same steps, nor where the host runs ahead of the device.
        """
        last = self.windows[-1] if self.windows else None
        fitting = int(WINDOW_SECONDS * last.steps / last.seconds) if last and last.seconds else 1
        return self.world.broadcast(lambda: max(1, min(steps, fitting)))

    def _steps_to_next_stop(self) -> int:
        """Return the number of steps until the next evaluation or the end of the budget."""
        left = self.total_steps - self.engine.step_number
        if not self.evaluate_every:
            return left
        images = self.evaluate_every - self.engine.images_seen % self.evaluate_every
        return min(left, -(-images // self.engine.images_per_step))

    def _evaluation_is_due(self) -> bool:
        """Return whether the last window crossed a multiple of `evaluate_every` before the end of the budget."""
        if not self.evaluate_every or self.engine.step_number >= self.total_steps:
            return False
        before = self.engine.images_seen - self.windows[-1].images
        return self.engine.images_seen // self.evaluate_every > before // self.evaluate_every

    def _train_window(self, steps: int, warmup: bool, whole: bool = False) -> None:
        engine = self.engine
        first_step, images_before = engine.step_number, engine.images_seen
        gc.disable()
        try:
            barrier = self.world.barrier if self.world.size > 1 else _no_barrier if whole else None
            with nullcontext() if warmup else self.memory.steps():
                done, seconds = time_window(engine.step, steps, self.device, meet=barrier)
        finally:
            gc.enable()
        values = self.world.all_reduce_mean(engine.read_terms())
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
        if self.evaluator is not None and self.world.main and len(self.windows) % OBSERVED_EVERY == 0:
            terms = {**means, **self.evaluator.observe()}
            self.curves[-1] = msgspec.structs.replace(self.curves[-1], terms=terms)

    def _progress_terms(self, terms: Iterable[str]) -> list[str]:
        """Return the names of the terms to display: the loss of each phase; with a single phase also its parts."""
        phases = [player.phase.name for player in self.engine.players]
        shown = [name for name in terms if name in phases or (len(phases) == 1 and name.startswith(f"{phases[0]}."))]
        return shown[:MAX_SHOWN_TERMS]

    def _progress(self) -> Progress:
        last, terms = self.windows[-1], self.curves[-1].terms
        left = self.total_steps - self.engine.step_number
        return Progress(
            step=self.engine.step_number,
            images=self.engine.images_seen,
            images_per_second=last.images / last.seconds if last.seconds else 0.0,
            terms=terms,
            shown=self._progress_terms(terms),
            seconds_left=left * last.seconds / last.steps,
            warmup=last.warmup,
        )


def _require_possible(noted: _Notes, engine: Engine, total_steps: int) -> None:
    """Raise ValueError unless these notes describe the steps that the engine has done, out of those planned."""
    step, images = engine.step_number, engine.images_seen
    if step > total_steps:
        raise ValueError(f"it states {step:,} steps, more than the {total_steps:,} of the plan")
    if any(window.steps < 1 or not 0 <= window.seconds < math.inf for window in noted.windows):
        raise ValueError("one of its windows has no steps, or an impossible duration")
    ends = list(itertools.accumulate((window.steps for window in noted.windows), initial=0))[1:]
    counted = sum(window.images for window in noted.windows)
    if ends != [window.step for window in noted.windows] or (ends or [0])[-1] != step or counted != images:
        raise ValueError(f"its windows are not those of {step:,} steps with {images:,} images")


def _no_barrier() -> None:
    """Keep the clock from ending a window."""


def _random_states_key(rank: int) -> str:
    return f"random states of rank {rank}"


def _mean(series: Tensor) -> float | None:
    mean = float(series.mean())
    return mean if math.isfinite(mean) else None


def _require_finite(values: Mapping[str, Tensor], first_step: int, steps: int) -> None:
    """Raise `Diverged` with the first loss term that is not finite, and its step."""
    worst: tuple[int, str] | None = None
    for name, series in values.items():
        bad = (~series.isfinite()).nonzero()
        if len(bad):
            step = first_step + 1 + int(bad[0]) * steps // len(series)
            worst = min(worst or (step, name), (step, name))
    if worst:
        raise Diverged(f"the loss '{worst[1]}' is not finite from step {worst[0]} on", worst[0])
