"""`genbench report`: rewrite the tables and reports of a run from its stored results."""

from __future__ import annotations

import click

from genbench.cli.output import echo


@click.command("report")
@click.argument("run", type=click.Path())
def command(run: str) -> None:
    """Rewrite table.md, table.csv, report.html and the contact sheet of RUN from its stored results."""
    from genbench.errors import UsageError
    from genbench.report.summary import write_summary
    from genbench.results.store import RunDirectory

    summary = write_summary(RunDirectory.open(run))
    for path in summary.written:
        echo(path)
    if summary.warnings:
        raise UsageError("\n".join(summary.warnings))
