"""`genbench baseline`: create or update the baseline file for `genbench check`."""

from __future__ import annotations

import click

from genbench.cli import NearMissGroup
from genbench.cli.output import echo


@click.group("baseline", cls=NearMissGroup)
def command() -> None:
    """Create or update the baseline file that `genbench check` compares runs with."""


@command.command("update")
@click.argument("run", type=click.Path())
@click.option(
    "--baseline", required=True, type=click.Path(), metavar="FILE", help="Baseline file, meant to be committed."
)
@click.option("--only", is_flag=True, help="Drop cells that RUN does not have. [default: keep them]")
@click.option(
    "--counters-only",
    is_flag=True,
    help="Store counters only, no speeds or metrics: counters depend on the torch version alone.",
)
def update(run: str, baseline: str, only: bool, counters_only: bool) -> None:
    """Write the measurements of RUN to the baseline file.

    Cells of the file that RUN does not have stay unchanged.
    """
    from genbench.commands.load import load

    found = load(run).update_baseline(baseline, only=only, counters_only=counters_only)
    for cell in found.left_out:
        echo(f"Warning: left out: {cell}", err=True)
    echo(found)
