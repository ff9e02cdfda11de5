"""`genbench calibrate`: find out which slowdowns `genbench ab` detects on this machine, and how often it errs."""

from __future__ import annotations

from typing import Any

import click

from genbench.cli.flags import timing_options
from genbench.cli.output import print_result
from genbench.errors import ExitCode


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
    from genbench.commands.versions.calibration import calibrate

    found = calibrate(
        slowdown=slowdown, blocks=blocks, max_slowdown=max_slowdown, set=settings, out=out, progress=not quiet, **flags
    )
    code = ExitCode.OK if found.calibrations else ExitCode.FAILED_CELLS
    print_result(found, as_json, code)
    return code
