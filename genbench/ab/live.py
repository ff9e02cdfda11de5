"""A live worker: a process of one arm that builds cells and times windows of their steps on request.

Between two questions it sleeps, so that the other arm has the machine to itself. When the session exits, for whatever
reason, the socket closes and the worker exits.

Run as a module, in the arm's environment: ``python -m genbench.ab.live DESCRIPTOR``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec
import torch
from torch import nn

from genbench import __version__
from genbench.ab.wire import (
    WIRE_VERSION,
    Answer,
    Cell,
    Control,
    Failed,
    Open,
    Opened,
    Prepare,
    Prepared,
    Question,
    Time,
    Timed,
)
from genbench.api.options import OptionValue
from genbench.data.loading import load_data
from genbench.errors import GenbenchError
from genbench.measure.accelerator import hide_gpus, select_device
from genbench.measure.clock import synchronise, time_window, warm_up
from genbench.measure.instructions import InstructionCounter, InstructionsUnavailable
from genbench.measure.processor_time import processor_seconds
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.plugins.loader import Plugin
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.lines import Lines
from genbench.results.comparison import Quantity
from genbench.results.identity_settings import settings_by_kind
from genbench.results.schema import CellIdentity, PlannedCell
from genbench.system.processes import end_with_parent
from genbench.train.builder import Built, build_cell
from genbench.train.engines.selection import use_engine
from genbench.train.memory_format import format_name
from genbench.train.torch_setup import set_up_torch, step_settings

CONTROL_SIZE = 192  # of the matrices in the control's rounds
FIRST_STEPS = 3  # of the warm-up: they compile and fill caches, and show roughly how long a step takes
WARMUP_SECONDS = 0.5  # after these steps, unless the requested number of steps is done sooner


class LiveWorker:
    """Answers questions; at most one cell is open at a time."""

    def __init__(self) -> None:
        self._cells: dict[str, PlannedCell] = {}
        self._catalogue: Catalogue | None = None
        self._built: Built | None = None
        self._device = torch.device("cpu")
        self._control: Callable[[], None] | None = None
        self._settings = contextlib.ExitStack()  # of torch, for the precision of the open cell
        self._unmeasured: dict[Quantity, str] = {}
        self._instructions: InstructionCounter | None = None
        try:
            self._instructions = InstructionCounter()  # before torch starts its threads, so that they are counted
        except InstructionsUnavailable as error:
            self._unmeasured["instructions"] = str(error)

    def answer(self, question: Question) -> Answer:
        """Do what the question asks; a failure becomes the answer."""
        try:
            match question:
                case Prepare():
                    return self._prepare(question)
                case Open():
                    return self._open(question)
                case Time():
                    assert self._built is not None
                    step = self._built.engine.step
                    if question.slowdown:
                        step = slowed(step, question.slowdown, question.slowed_by)
                    return self._time(step, question.steps)
                case Control():
                    return self._time(self._control_round(), question.rounds)
        except Exception as error:
            traceback.print_exc()
            return Failed(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Restore the settings of torch."""
        self._settings.close()
        if self._instructions is not None:
            self._instructions.close()

    def _prepare(self, question: Prepare) -> Answer:
        if question.wire != WIRE_VERSION:
            return Failed(f"this version of genbench ({__version__}) speaks version {WIRE_VERSION} of the protocol")
        if question.device == "cpu":
            hide_gpus()
        set_up_torch(question.threads)
        self._device = select_device(question.device)
        if self._device.type != "cpu":
            self._unmeasured = dict.fromkeys(("processor", "instructions"), "the steps run on an accelerator")
        request = make_request(question.given, question.settings)
        self._catalogue = discover(request.plugins)
        unknown = {name: reason for name in request.models if (reason := _unknown(name, self._catalogue))}
        known = tuple(name for name in request.models if name not in unknown)
        plugins: Sequence[Plugin] = ()
        if known:
            plan = make_plan(replace(request, models=known), self._catalogue, self._device.type)
            self._cells = dict(zip(cell_names(plan.cells), plan.cells, strict=True))
            plugins = plan.plugins
            # So far third-party plugins were loaded in another process: from here on they run in this one.
            self._catalogue = load_catalogue([asdict(plugin) for plugin in plugins])
        return Prepared(
            genbench=__version__,
            torch=str(torch.__version__),
            packages={plugin.distribution: plugin.version for plugin in plugins},
            unknown=unknown,
            unmeasured=self._unmeasured,
            cells=[
                Cell(name=name, settings=_settings(cell.identity), reason=cell.reason)
                for name, cell in self._cells.items()
            ],
        )

    def _open(self, question: Open) -> Answer:
        self._built = None
        gc.unfreeze()
        gc.collect()
        identity = self._cells[question.cell].identity
        assert self._catalogue is not None
        self._settings.close()
        self._settings.enter_context(step_settings(str(identity.recipe["precision"])))
        data = load_data(identity.dataset, identity.image_shape, self._catalogue)
        self._built = built = build_cell(identity, self._catalogue, data, self._device)
        chosen = (question.memory_format, "that of the other side") if question.memory_format else None
        record = use_engine(built.engine, built.recipe, chosen, question.step_options)
        _, first = time_window(built.engine.step, FIRST_STEPS, self._device)
        enough = round(WARMUP_SECONDS * FIRST_STEPS / first) if first else question.warmup
        begin, busy = time.perf_counter(), processor_seconds()
        seconds_per_step = warm_up(built.engine.step, min(max(FIRST_STEPS, enough), question.warmup), self._device)
        processors = (processor_seconds() - busy) / (time.perf_counter() - begin)
        built.engine.read_terms()
        gc.collect()
        gc.freeze()
        return Opened(
            seconds_per_step=seconds_per_step,
            processor_seconds_per_step=processors * seconds_per_step if self._device.type == "cpu" else 0.0,
            images_per_step=built.engine.images_per_step,
            engine=record.used,
            memory_format=format_name(built.memory_format),
            step_options=record.step_tuning.chosen if record.step_tuning is not None else {},
        )

    def _time(self, work: Callable[[], None], times: int) -> Timed:
        gc.disable()
        work()  # the first work after a pause is slower: caches hold what ran meanwhile, and an idle device starts up
        synchronise(self._device)
        counted, busy = self._count_instructions(), processor_seconds()
        begin = time.perf_counter()
        for _ in range(times):
            work()
        synchronise(self._device)
        seconds = time.perf_counter() - begin
        busy, more = processor_seconds() - busy, self._count_instructions()
        gc.enable()
        if self._built is not None:
            self._built.engine.read_terms()
        if self._device.type != "cpu":  # the processor only waits for the device
            return Timed(seconds)
        return Timed(seconds, busy, more - counted if counted is not None and more is not None else None)

    def _count_instructions(self) -> int | None:
        return None if self._instructions is None else self._instructions.read()

    def _control_round(self) -> Callable[[], None]:
        """Return work that uses torch only: a matrix product and a convolution with their gradients."""
        if self._control is None:
            generator = torch.Generator().manual_seed(0)
            matrix = torch.randn(CONTROL_SIZE, CONTROL_SIZE, generator=generator).to(self._device).requires_grad_()
            images = torch.randn(16, 8, 16, 16, generator=generator).to(self._device)
            convolution = nn.Conv2d(8, 16, 3).to(self._device)

            def control() -> None:
                (matrix @ matrix).sum().backward()  # type: ignore[no-untyped-call]
                convolution(images).sum().backward()

            for _ in range(5):
                control()
            self._control = control
        return self._control


def slowed(step: Callable[[], None], share: float, by: Quantity = "wall") -> Callable[[], None]:
    """Return a step that takes longer by `share` of its own time, in a busy loop: for calibration on a CPU.

    By processor time, the loop uses this share of the processor time of all threads.
    """
    clock, own = (time.perf_counter, time.perf_counter) if by == "wall" else (time.process_time, time.thread_time)

    def slow() -> None:
        begin = clock()
        step()
        needed = share * (clock() - begin)
        until = own() + needed
        while own() < until:
            pass

    return slow


def _unknown(model: str, catalogue: Catalogue) -> str:
    """Return why this version does not know a model; empty if it does."""
    try:
        catalogue.require("models", model)
    except GenbenchError as error:
        return str(error)
    return ""


def cell_names(cells: Sequence[PlannedCell]) -> list[str]:
    """Return the name of each cell in both arms: its model, and those settings that distinguish it from the others."""
    axes = [_axes(cell) for cell in cells]
    distinguishing = ["model"]
    for axis in ("loss", "dataset", "precision", "seed"):
        before = len({tuple(facts[key] for key in distinguishing) for facts in axes})
        if before < len({tuple(facts[key] for key in [*distinguishing, axis]) for facts in axes}):
            distinguishing.append(axis)
    names = [" · ".join(facts[key] for key in distinguishing) for facts in axes]
    return [name if names.count(name) == 1 else f"{name} · {cells[n].variant}" for n, name in enumerate(names)]


def _axes(cell: PlannedCell) -> dict[str, str]:
    identity = cell.identity
    return {
        "model": identity.model.name,
        "loss": identity.loss.name,
        "dataset": identity.dataset.name,
        "precision": str(identity.recipe["precision"]),
        "seed": f"seed {identity.seed}",
    }


def _settings(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return the settings that determine the work of a step, without those of measuring and writing."""
    found = {"loss": identity.loss.name, "dataset": identity.dataset.name, **settings_by_kind(identity)}
    excluded = ("images", "samples", "energy_seconds", "warmup_steps", "evaluate_every", "best_metric", "patience")
    return {key: value for key, value in found.items() if key not in excluded and not key.startswith("dataset.")}


def main() -> None:
    """Answer questions until the session has exited."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session handles Ctrl-C
    lines = Lines(socket.socket(fileno=int(sys.argv[1])))
    worker = LiveWorker()
    while (received := lines.receive()) is not None:
        for line in received:
            question: Any = msgspec.json.decode(line, type=Question)
            lines.send(worker.answer(question))
    os._exit(0)


if __name__ == "__main__":
    main()
