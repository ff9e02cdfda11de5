"""`genbench.calibrate`: which slowdowns a live comparison can detect on this machine."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from genbench.ab import calibration
from genbench.ab.arm import Arm, installed_arm
from genbench.ab.session import BUSY, Block, Protocol, Session
from genbench.ab.wire import Prepare
from genbench.commands.arguments import OptionValues, PluginSource
from genbench.commands.output_files import write_output
from genbench.commands.printed import Printable
from genbench.commands.run import Progress, line_receiver
from genbench.commands.versions.question import machine_facts, make_question, stop_on_sigterm
from genbench.errors import UsageError
from genbench.gate.limits import parse_share
from genbench.gate.quantity import NAMES, QUANTITIES, log_ratio
from genbench.gate.sequential import LookSchedule
from genbench.report.gate import calibration as shown
from genbench.report.numbers import change
from genbench.results.calibration import Calibration
from genbench.results.comparison import Quantity

_LARGEST_SLOWDOWN = 10  # a step that takes eleven times as long


@dataclass(frozen=True, repr=False)
class Calibrations(Printable):
    """What comparisons of each cell can detect on this machine, by each quantity that was measured."""

    calibrations: tuple[Calibration, ...]

    _indent = 1

    def text(self) -> str:
        """Return a table per cell."""
        return shown.text(self.calibrations)

    def as_data(self) -> tuple[Calibration, ...]:
        """Return the records."""
        return self.calibrations


def calibrate(
    models: str | Sequence[str] | None = "gan",
    losses: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    *,
    slowdown: str | float = "5%",
    blocks: int = 16,
    device: str = "auto",
    max_slowdown: str | float = "5%",
    set: OptionValues = (),
    threads: int | None = None,
    plugins: PluginSource | Sequence[PluginSource] = (),
    out: str | Path | None = None,
    progress: Progress = True,
    **recipe: Any,
) -> Calibrations:
    """Compare this installation with itself, and with itself slowed down on purpose, as `genbench calibrate`.

    The result is stored for this machine, and quoted by `genbench.compare_versions`. Raises `UsageError` for an invalid
    request, and on a GPU, which the slowdown would not slow.

    Args:
        models: models whose steps are timed.
        losses: losses to combine them with.
        datasets: datasets.
        slowdown: slowdown to add to a step on purpose, such as ``"5%"`` or 0.05.
        blocks: blocks to record with and without the slowdown.
        device: ``cpu`` or ``auto``.
        max_slowdown: largest slowdown of a training step that is accepted.
        set: options, as ``{"dcgan.width": 32}``.
        threads: number of torch threads; by default, all usable processors, and one for quantities other than wall
            time.
        plugins: plugin files, or imported modules with a file of their own.
        out: also write the calibrations to this JSON file.
        progress: whether to show progress on standard error; a function receives it line by line.
        recipe: fields of the recipe, such as ``batch_size=64``.
    """
    injected, limit = parse_share(slowdown, "--slowdown"), parse_share(max_slowdown, "--max-slowdown")
    _require_measurable(slowdown, injected, blocks)
    given = {"models": models, "losses": losses, "datasets": datasets, "device": device, "threads": threads}
    question = make_question({**given, "plugins": plugins or None, **recipe}, set, None)
    if question.device != "cpu":
        raise UsageError(
            "The slowdown keeps the processor busy, which does not slow a GPU.", "Use --device cpu.", code="GB805"
        )
    report = line_receiver(progress)

    def report_block(number: int, block: Block) -> None:
        for measured in block.measured:
            by = [f"{change(ratio)} {NAMES[q]}" for q in QUANTITIES if math.isfinite(ratio := log_ratio(measured, q))]
            report(f"[{number}/{blocks}] {measured.cell} {', '.join(by)}")

    found = []
    with stop_on_sigterm(), tempfile.TemporaryDirectory(prefix="genbench-calibrate-") as place:
        base, head = installed_arm("base", Path(place)), installed_arm("head", Path(place))
        questions: dict[Quantity, Prepare] = {"wall": question, "processor": question}
        if threads is None:
            questions["processor"] = replace(question, threads=1)  # as `genbench.ab.pilot` does
        sessions = {kind: _sessions((base, head), asked, injected, kind) for kind, asked in questions.items()}
        for cell in sessions["wall"][0].survey().cells:
            recorded = calibration.measure(sessions, cell, blocks, report_block)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            for quantity in QUANTITIES:
                kind: Quantity = "wall" if quantity == "wall" else "processor"
                ratios = recorded[kind].log_ratios(quantity)
                if not ratios[0]:  # it cannot be measured here
                    continue
                facts = machine_facts(questions[kind])
                seconds = recorded[kind].seconds
                found.append(
                    calibration.calibrate(
                        cell, *ratios, seconds, injected, limit, LookSchedule(), facts, created, quantity
                    )
                )
                calibration.store(found[-1])
    calibrations = Calibrations(tuple(found))
    if out is not None:
        write_output(Path(out), calibrations.to_json().encode(), "--out")
    return calibrations


def _sessions(arms: tuple[Arm, Arm], question: Prepare, slowdown: float, kind: Quantity) -> tuple[Session, Session]:
    """Return a session of the same code and one with a step that takes more of this kind of time."""
    protocol = Protocol() if kind == "wall" else BUSY  # as `genbench.ab.pilot` does
    same = Session(*arms, question, protocol)
    slowed = Session(
        *arms,
        question,
        protocol,
        slowdown=slowdown,
        slowed_by=kind,
        seed=1,
        memory_formats=same.memory_formats,
        step_options=same.step_options,
    )
    return same, slowed


def _require_measurable(slowdown: str | float, injected: float, blocks: int) -> None:
    if blocks < 2 or injected == 0:
        raise UsageError(
            "A calibration needs at least two blocks and a slowdown above 0.",
            "Raise --blocks or --slowdown.",
            code="GB805",
        )
    if injected >= _LARGEST_SLOWDOWN:
        raise UsageError(
            f"--slowdown {slowdown} is too large for a calibration.",
            f"Choose less than {_LARGEST_SLOWDOWN:.0%}.",
            code="GB805",
        )
