"""`genbench report`: write the tables and the report of runs from their stored results."""

from __future__ import annotations

import click

from genbench.cli.output import echo
from genbench.errors import UsageError


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option("--out", type=click.Path(), metavar="FILE.html", help="Write one page about all RUNs to this file.")
def command(runs: tuple[str, ...], out: str | None) -> None:
    """Rewrite table.md, table.csv, report.html and the contact sheet of RUN from its stored results.

    With --out, write one page about all RUNs instead, to compare them.
    """
    from genbench.commands.load import load

    results = load(*runs)
    if out is not None:
        echo(results.report(out))
        return
    written = results.rewrite_report()
    for path in written.paths:
        echo(path)
    if written.problems:
        raise UsageError("\n".join(written.problems), code="GB702")
