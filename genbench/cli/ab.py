"""`genbench ab`: compare two versions of the code live, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from genbench.cli.flags import config_option, timing_options
from genbench.cli.output import echo, print_result
from genbench.errors import ExitCode

if TYPE_CHECKING:
    from genbench.gate.quantity import DecideBy


@click.command("ab")
@click.option(
    "--base", required=True, metavar="REF", help="Version to compare with: a git revision, a wheel, or ./FOLDER."
)
@click.option("--head", default=".", show_default=True, metavar="REF", help="Version to judge, given likewise.")
@click.option(
    "--package", "packages", multiple=True, metavar="FOLDER",
    help="Folder inside REF to install, such as plugins/mine; repeatable. [default: the top folder]",
)  # fmt: skip
@config_option
@click.option(
    "--decide-by", type=click.Choice(["auto", "wall", "processor", "instructions"]), default="auto", show_default=True,
    help="Quantity per step that decides. auto: wall time, unless base differs from itself too much by it.",
)  # fmt: skip
@click.option("--max-minutes", type=float, metavar="MINUTES", help="Stop after this time, even without a decision.")
@click.option(
    "--out", type=click.Path(), metavar="DIR",
    help="Folder for the measurements, a summary and JUnit XML. [default: results/ab-TIME]",
)  # fmt: skip
@timing_options()
def command(
    base: str,
    head: str,
    max_slowdown: str,
    packages: tuple[str, ...],
    settings: tuple[str, ...],
    config: str | None,
    decide_by: DecideBy,
    max_minutes: float | None,
    out: str | None,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Compare the training steps of two versions of the code, live, and say whether one is slower.

    \b
    genbench ab --base main --head . --models gan,vae
    genbench ab --base v1.2 --head HEAD --package plugins/mine --models my-gan
    """
    from genbench.commands.versions.live import compare_versions

    found = compare_versions(
        base, head, package=packages, max_slowdown=max_slowdown, decide_by=decide_by, max_minutes=max_minutes,
        set=settings, config=config, out=out, progress=not quiet, **flags,
    )  # fmt: skip
    code = ExitCode.INTERRUPTED if found.interrupted else found.verdict.exit_code
    print_result(found, as_json, code)
    stored = f"Measurements: {found.path}" if found.path else f"Warning: cannot write the measurements: {found.problem}"
    echo(stored, err=True)
    return code
