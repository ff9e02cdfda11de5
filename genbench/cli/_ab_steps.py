"""The steps that `genbench ab` and `genbench calibrate` share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from genbench.ab.calibration import known
from genbench.ab.comparison import Comparing, geometric_mean
from genbench.ab.wire import Prepare
from genbench.cli.output import echo
from genbench.commands.device import parse_device, resolve_auto
from genbench.errors import ExitCode
from genbench.measure import machine
from genbench.planning.request import make_request, read_config
from genbench.report.gate import ab
from genbench.report.numbers import change
from genbench.report.numbers import seconds as duration
from genbench.results.comparison import Comparison
from genbench.results.files import atomic_write

_FOLDER = "folder:"


def make_question(flags: Mapping[str, Any], settings: Sequence[str], config: str | None) -> Prepare:
    """Return the plan that both arms receive; its paths are absolute, because the arms run in other directories."""
    given = dict(read_config(config) if config else {})
    given |= {name: value for name, value in flags.items() if value is not None and name not in ("device", "threads")}
    for name in ("out", "profile", "timeout", "memory_limit", "reporters", "target", "metrics"):
        given.pop(name, None)  # they concern a run, not a step
    given["plugins"] = [str(Path(path).expanduser().resolve()) for path in given.get("plugins") or ()]
    request = make_request(given, settings)  # reports mistakes once, before both arms start
    given["datasets"] = [
        f"{_FOLDER}{Path(name.removeprefix(_FOLDER)).expanduser().resolve()}" if name.startswith(_FOLDER) else name
        for name in request.datasets
    ]
    given |= {"profile": "smoke", "metrics": "none"}
    return Prepare(
        given=given,
        settings=list(settings),
        device=resolve_auto(parse_device(str(flags.get("device") or "auto"))),
        threads=int(flags.get("threads") or machine.default_threads()),
    )


def machine_facts(question: Prepare) -> dict[str, Any]:
    """Return a description of this machine, and of the threads and device that are used."""
    return {
        **machine.describe(),
        "threads": question.threads,
        "device": question.device,
        "load_average": machine.load_average(),
    }


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that everything is cleaned up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def make_progress(report: Callable[[str], None]) -> Callable[[Comparing], None]:
    """Return a callback that reports the progress of a comparison after each block."""

    def report_block(comparing: Comparing) -> None:
        last, looks = comparing.blocks[-1], comparing.looks.blocks
        ahead = next((look for look in looks if look > last.number), None)
        ratios = [f"{cell} {change(record.log_ratio)}" for cell, record in last.cells.items()]
        ratios += [f"{cell} failed" for cell in last.failed]
        following = f"next look after {ahead}" if ahead and comparing.open_cells else "done"
        report(f"[{last.number}/{looks[-1]}] {' · '.join(ratios)} · {duration(last.seconds)} · {following}")

    return report_block


def report_verdict(
    comparing: Comparing,
    labels: tuple[str, str],
    notes: Sequence[str],
    question: Prepare,
    out: str | None,
    as_json: bool,
    interrupted: bool = False,
) -> int:
    """Print the verdict, store the measurements, and return the exit code."""
    decisions = comparing.decisions()
    verdict = comparing.verdict(decisions)
    reason = "interrupted: based on the blocks measured so far" if interrupted else ""
    facts = machine_facts(question)
    comparison = Comparison(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base=labels[0],
        head=labels[1],
        versions={arm: dict(found) for arm, found in comparing.sides.versions.items()},
        limit=comparing.limit,
        looks=list(comparing.looks.blocks),
        errors=list(comparing.looks.errors),
        window_seconds=comparing.session.protocol.window_seconds,
        settings={**question.given, "set": list(question.settings), "device": question.device},
        machine=facts,
        verdict=verdict,
        reason=reason,
        cells=decisions,
        geometric_mean=geometric_mean(decisions),
        blocks=comparing.blocks,
        notes=[*notes, *_calibration_notes(facts, comparing.sides.cells)],
    )
    encoded = msgspec.json.format(msgspec.json.encode(comparison), indent=1)
    echo(encoded.decode() if as_json else ab.text(comparison), nl=as_json, as_json=as_json)
    directory = Path(out) if out else Path("results") / f"ab-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        atomic_write(directory / "comparison.json", encoded + b"\n")
        atomic_write(directory / "summary.md", ab.summary(comparison).encode())
        atomic_write(directory / "junit.xml", ab.cases(comparison).encode())
        echo(f"Measurements: {directory / 'comparison.json'}", err=True)
    except OSError as error:  # the verdict is printed and stays valid
        with suppress(OSError):
            echo(f"Warning: cannot write the measurements: {error}", err=True)
    return ExitCode.INTERRUPTED if interrupted else verdict.exit_code


def _calibration_notes(facts: dict[str, Any], cells: Sequence[str]) -> list[str]:
    """Return what `genbench calibrate` found for these cells on this machine."""
    found = [calibration for cell in cells if (calibration := known(facts, cell)) is not None]
    if not found:
        return [
            "not calibrated on this machine; `genbench calibrate` measures the detectable slowdown and the error rates"
        ]
    return [
        f"calibrated {one.created[:10]}: detects changes of {100 * one.detectable:.1f} % or more of {one.cell} here"
        for one in found
    ]
