"""`genbench show`: show the plan of a run, the status of its cells, and where its files are."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import print_result


@click.command("show")
@click.argument("run", type=click.Path())
@click.option("--cell", "part", metavar="CELL", help="Show one cell in detail: its id, or any unambiguous part of it.")
@click.option(
    "--cells/--summary",
    default=None,
    help="List every cell, or only count them by status. [default: a list of up to 300 cells]",
)
@as_json_flag
def command(run: str, part: str | None, cells: bool | None, as_json: bool) -> None:
    """Show the plan of RUN, the status of every cell, and where its files are."""
    from genbench.commands.load import load

    print_result(load(run).details(part, cells=cells), as_json)
