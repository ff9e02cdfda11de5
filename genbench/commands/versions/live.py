"""`genbench.compare_versions`: the training steps of two versions of the code, timed in turn on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genbench.ab.arm import built
from genbench.ab.calibration import known
from genbench.ab.comparison import Comparing, geometric_mean
from genbench.ab.pilot import plan_quantity
from genbench.ab.reference import Reference, find_reference, uncommitted
from genbench.ab.session import Session
from genbench.ab.wire import Prepare
from genbench.commands.arguments import OptionValues, PluginSource, names_of
from genbench.commands.printed import Printable
from genbench.commands.run import Progress, line_receiver
from genbench.commands.versions.question import machine_facts, make_question, stop_on_sigterm
from genbench.gate.limits import parse_share
from genbench.gate.quantity import NAMES, DecideBy, log_ratio
from genbench.gate.sequential import LookSchedule
from genbench.gate.verdict import Verdict
from genbench.report.gate import ab as shown
from genbench.report.numbers import change
from genbench.report.numbers import seconds as duration
from genbench.results.comparison import Comparison, Quantity
from genbench.results.files import atomic_write


@dataclass(frozen=True, repr=False)
class VersionComparison(Printable):
    """Whether a version of the code trains more slowly than another, with every window that was measured."""

    comparison: Comparison
    interrupted: bool = False  # by Ctrl-C: the verdict rests on the blocks measured so far
    path: Path | None = None  # of the stored measurements
    problem: str = ""  # why they could not be stored

    _indent = 1

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on a cell that both versions have."""
        return Verdict(self.comparison.verdict)

    def text(self) -> str:
        """Return the table that the command prints."""
        return shown.text(self.comparison)

    def summary(self) -> str:
        """Return Markdown for a pull request."""
        return shown.summary(self.comparison)

    def junit(self) -> str:
        """Return JUnit XML with one test case per cell."""
        return shown.cases(self.comparison)

    def as_data(self) -> Comparison:
        """Return the record that is stored in comparison.json."""
        return self.comparison


def compare_versions(
    base: str,
    head: str = ".",
    *,
    package: str | Sequence[str] = (),
    models: str | Sequence[str] | None = None,
    losses: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    device: str = "auto",
    max_slowdown: str | float = "5%",
    decide_by: DecideBy = "auto",
    max_minutes: float | None = None,
    set: OptionValues = (),
    config: str | Path | None = None,
    threads: int | None = None,
    plugins: PluginSource | Sequence[PluginSource] = (),
    out: str | Path | None = None,
    progress: Progress = True,
    **recipe: Any,
) -> VersionComparison:
    """Compare the training steps of two versions of the code, live, as `genbench ab`.

    The measurements are stored. Ctrl-C ends it with the verdict so far. Raises `UsageError` for a version that cannot
    be found or built, and for an invalid request.

    Args:
        base: version to compare with: a git revision, a wheel, or ``./FOLDER``.
        head: version to judge, given likewise.
        package: folders inside both versions to install, such as ``plugins/mine``; by default, the top folder.
        models: models whose steps are timed.
        losses: losses to combine them with.
        datasets: datasets.
        device: ``cpu``, ``cuda``, ``cuda:1``, … or ``auto``.
        max_slowdown: largest slowdown of a training step that is accepted, such as ``"5%"`` or 0.05.
        decide_by: quantity per step that decides: ``wall`` (time), ``processor`` (time), ``instructions``, or ``auto``,
            which chooses from one block of base against itself.
        max_minutes: stop after this time, even without a decision.
        set: options, as ``{"dcgan.width": 32}``.
        config: a TOML plan; the other arguments take precedence.
        threads: number of torch threads; by default, all usable processors, and one for quantities other than wall time
            and on a busy machine.
        plugins: plugin files, or imported modules with a file of their own.
        out: folder for the measurements, a summary and JUnit XML; by default, a new one in ``results/``.
        progress: whether to show progress on standard error; a function receives it line by line.
        recipe: fields of the recipe, such as ``batch_size=64``.
    """
    limit = parse_share(max_slowdown, "--max-slowdown")
    given = {"models": models, "losses": losses, "datasets": datasets, "device": device, "threads": threads}
    question = make_question({**given, "plugins": plugins or None, **recipe}, set, config)
    here = Path.cwd()
    references = find_reference(base, here), find_reference(head, here)
    labels = references[0].label, references[1].label
    report = line_receiver(progress)
    report(f"Building {labels[0]} and {labels[1]}")
    with stop_on_sigterm(), built(*references, names_of(package) or (".",)) as (first, second):
        session = Session(first, second, question)
        begin = time.perf_counter()
        sides = session.survey()
        decided_by = plan_quantity(decide_by, session, sides, fixed_threads=threads is not None)
        report(shown.planned(decided_by))
        comparing = Comparing(session, sides, limit, LookSchedule(), decided_by)
        interrupted = False
        left = math.inf if max_minutes is None else 60 * max_minutes - (time.perf_counter() - begin)
        try:
            comparing.run(_progress_lines(report), left)
        except KeyboardInterrupt:
            interrupted = True
        comparison = _record(comparing, labels, _notes(references), session.prepare, interrupted)
    return _stored(VersionComparison(comparison, interrupted), out)


def _progress_lines(report: Callable[[str], object]) -> Callable[[Comparing], None]:
    """Return a callback that reports the progress of a comparison after each block."""

    def report_block(comparing: Comparing) -> None:
        last, looks = comparing.blocks[-1], comparing.looks.blocks
        ahead = next((look for look in looks if look > last.number), None)
        quantity = comparing.decided_by.quantity
        ratios = [f"{cell} {change(log_ratio(record, quantity))}" for cell, record in last.cells.items()]
        ratios += [f"{cell} failed" for cell in last.failed]
        following = f"next look after {ahead}" if ahead and comparing.open_cells else "done"
        report(f"[{last.number}/{looks[-1]}] {' · '.join(ratios)} · {duration(last.seconds)} · {following}")

    return report_block


def _record(
    comparing: Comparing, labels: tuple[str, str], notes: Sequence[str], question: Prepare, interrupted: bool
) -> Comparison:
    decisions = comparing.decisions()
    facts = machine_facts(question)
    return Comparison(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base=labels[0],
        head=labels[1],
        versions={arm: dict(found) for arm, found in comparing.sides.versions.items()},
        limit=comparing.limit,
        looks=list(comparing.looks.blocks),
        errors=list(comparing.looks.errors),
        window_seconds=comparing.session.protocol.window_seconds,
        decided_by=comparing.decided_by,
        settings={**question.given, "set": list(question.settings), "device": question.device},
        machine=facts,
        verdict=comparing.verdict(decisions),
        reason="interrupted: based on the blocks measured so far" if interrupted else "",
        cells=decisions,
        geometric_mean=geometric_mean(decisions),
        blocks=comparing.blocks,
        notes=[*notes, *_calibration_notes(facts, comparing.sides.cells, comparing.decided_by.quantity)],
    )


def _stored(found: VersionComparison, out: str | Path | None) -> VersionComparison:
    """Write the measurements; the verdict stays valid where that is impossible."""
    directory = Path(out) if out else Path("results") / f"ab-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        atomic_write(directory / "comparison.json", found.to_json().encode())
        atomic_write(directory / "summary.md", found.summary().encode())
        atomic_write(directory / "junit.xml", found.junit().encode())
    except OSError as error:
        return VersionComparison(found.comparison, found.interrupted, problem=str(error))
    return VersionComparison(found.comparison, found.interrupted, directory / "comparison.json")


def _calibration_notes(facts: dict[str, Any], cells: Sequence[str], quantity: Quantity) -> list[str]:
    """Return what `genbench calibrate` found for these cells on this machine, by the quantity that decides."""
    found = [calibration for cell in cells if (calibration := known(facts, cell, quantity)) is not None]
    if not found:
        return [
            "not calibrated on this machine; `genbench calibrate` measures the detectable slowdown and the error rates"
        ]
    return [
        f"calibrated {one.created[:10]}: by {NAMES[one.quantity]}, detects changes of {100 * one.detectable:.1f} % or "
        f"more of {one.cell} here"
        for one in found
    ]


def _notes(references: Sequence[Reference]) -> list[str]:
    """Return a note if uncommitted changes exist that the comparison leaves out."""
    revisions = [reference for reference in references if reference.kind == "revision"]
    directories = [reference for reference in references if reference.kind == "directory"]
    if revisions and not directories and uncommitted(revisions[0].path):
        return ["neither version includes the uncommitted changes of the working tree; --head . measures them"]
    return []
