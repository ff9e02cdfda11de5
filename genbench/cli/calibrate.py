"""`genbench calibrate`: find out which slowdowns `genbench ab` detects on this machine, and how often it errs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from genbench.cli.flags import timing_options
from genbench.cli.output import echo, write_output
from genbench.errors import ExitCode, UsageError

_LARGEST_SLOWDOWN = 10  # a step that takes eleven times as long


@click.command("calibrate")
@click.option(
    "--slowdown",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Slowdown to add to a step on purpose, such as 5% or 0.05.",
)
@click.option(
    "--blocks", default=16, show_default=True, metavar="N", help="Blocks to record with and without the slowdown."
)
@click.option("--out", type=click.Path(), metavar="FILE", help="Also write the calibrations to this JSON file.")
@timing_options(models="gan")
def command(
    slowdown: str,
    max_slowdown: str,
    blocks: int,
    settings: tuple[str, ...],
    out: str | None,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Compare this installation with itself, and with itself slowed down on purpose.

    The result (false alarms, detected slowdowns, smallest detectable change) is stored for this machine and quoted by
    `genbench ab`.
    """
    from datetime import UTC, datetime

    import msgspec

    from genbench.ab.arm import installed_arm
    from genbench.ab.calibration import calibrate, measure, store
    from genbench.ab.session import Block, Session
    from genbench.cli._ab_steps import machine_facts, make_question, stop_on_sigterm
    from genbench.gate.limits import parse_share
    from genbench.gate.sequential import LookSchedule
    from genbench.report.gate.calibration import text
    from genbench.report.numbers import change

    injected, limit = parse_share(slowdown, "--slowdown"), parse_share(max_slowdown, "--max-slowdown")
    if blocks < 2 or injected == 0:
        raise UsageError(
            "A calibration needs at least two blocks and a slowdown above 0.", "Raise --blocks or --slowdown."
        )
    if injected >= _LARGEST_SLOWDOWN:
        raise UsageError(
            f"--slowdown {slowdown} is too large for a calibration.", f"Choose less than {_LARGEST_SLOWDOWN:.0%}."
        )
    question = make_question(flags, settings, None)
    if question.device != "cpu":
        raise UsageError("The slowdown keeps the processor busy, which does not slow a GPU.", "Use --device cpu.")
    found = []

    def report_block(number: int, block: Block) -> None:
        if not quiet:
            for measured in block.measured:
                echo(f"[{number}/{blocks}] {measured.cell} {change(measured.log_ratio)}", err=True)

    with stop_on_sigterm(), tempfile.TemporaryDirectory(prefix="genbench-calibrate-") as place:
        base, head = installed_arm("base", Path(place)), installed_arm("head", Path(place))
        same = Session(base, head, question)
        slowed = Session(base, head, question, slowdown=injected, seed=1, memory_formats=same.memory_formats)
        for cell in same.survey().cells:
            ratios = measure(same, slowed, cell, blocks, report_block)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            found.append(calibrate(cell, *ratios, injected, limit, LookSchedule(), machine_facts(question), created))
            store(found[-1])
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    if out:
        write_output(Path(out), encoded + b"\n", "--out")
    echo(encoded.decode() if as_json else text(found), nl=as_json, as_json=as_json)
    return ExitCode.OK if found else ExitCode.FAILED_CELLS
