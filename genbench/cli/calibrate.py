"""`genbench calibrate`: what `genbench ab` can see on this machine, and how often it errs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from genbench.cli.ab import parse_share
from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.run import recipe_flags
from genbench.errors import ExitCode, UsageError


@click.command("calibrate")
@click.option("--models", default="gan", show_default=True, metavar="A,B,…", help="Models whose step is timed.")
@click.option("--losses", metavar="A,B,…", help="Losses to combine them with. [each model's own]")
@click.option("--datasets", metavar="A,B,…", help="Datasets. [fashion-mnist-mini]")
@click.option("--device", metavar="DEVICE", default="auto", help="cpu, cuda, cuda:1, or auto. [auto]")
@click.option("--slowdown", default="5%", show_default=True, metavar="SHARE", help="Put into the step on purpose.")
@click.option("--max-slowdown", default="5%", show_default=True, metavar="SHARE", help="The limit that `ab` will have.")
@click.option("--blocks", default=16, show_default=True, help="Recorded of each kind.")
@click.option("--set", "settings", multiple=True, metavar="NAME.OPTION=VALUE", help="An option; repeatable.")
@click.option("--threads", type=int, metavar="N", help="Torch threads. [all usable processors]")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write the calibrations there as well.")
@click.option("--quiet", is_flag=True, help="No progress; only the result.")
@plugin_files
@as_json_flag
@recipe_flags
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
    """Compare this installation with itself, and with itself made slower on purpose.

    What is found - false alarms, what was caught, the smallest change that can be seen - is kept for this machine, and
    `genbench ab` quotes it.
    """
    from datetime import UTC, datetime

    import msgspec

    from genbench.ab.arm import installed_arm
    from genbench.ab.calibration import calibrate, measure, store
    from genbench.ab.session import Block, Session
    from genbench.cli._ab_steps import interruptible, machine_facts, prepare
    from genbench.gate.sequential import LookSchedule
    from genbench.report.gate.calibration import text
    from genbench.results.files import atomic_write

    injected, limit = parse_share(slowdown, "--slowdown"), parse_share(max_slowdown)
    if blocks < 2 or injected == 0:
        raise UsageError("A calibration needs at least two blocks of each kind, and a slowdown above 0.")
    question = prepare(flags, settings, None)
    if question.device != "cpu":
        raise UsageError(
            "The slowdown is put in by keeping the processor busy, which a GPU would not notice.", "Use --device cpu."
        )
    found = []

    def tell(number: int, block: Block) -> None:
        if not quiet:
            for measured in block.measured:
                click.echo(f"[{number}/{blocks}] {measured.cell} {100 * measured.log_ratio:+.1f} %", err=True)

    with interruptible(), tempfile.TemporaryDirectory(prefix="genbench-calibrate-") as place:
        base, head = installed_arm("base", Path(place)), installed_arm("head", Path(place))
        same, slowed = Session(base, head, question), Session(base, head, question, slowdown=injected, seed=1)
        sides = same.survey()
        for cell in sides.cells:
            ratios = measure(same, slowed, cell, blocks, tell)
            created = datetime.now(UTC).isoformat(timespec="seconds")
            found.append(calibrate(cell, *ratios, injected, limit, LookSchedule(), machine_facts(question), created))
            store(found[-1])
    encoded = msgspec.json.format(msgspec.json.encode(found), indent=1)
    if out:
        atomic_write(Path(out), encoded + b"\n")
    click.echo(encoded.decode() if as_json else text(found), nl=as_json)
    return ExitCode.OK if found else ExitCode.FAILED_CELLS
