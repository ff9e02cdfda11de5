"""`genbench report`: write the tables and the report of runs from their stored results."""

from __future__ import annotations

import click

from genbench.cli.output import echo


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option("--out", type=click.Path(), metavar="FILE.html", help="Write one page about all RUNs to this file.")
def command(runs: tuple[str, ...], out: str | None) -> None:
    """Rewrite table.md, table.csv, report.html and the contact sheet of RUN from its stored results.

    With --out, write one page about all RUNs instead, to compare them.
    """
    from pathlib import Path

    from genbench.commands.load import load
    from genbench.errors import UsageError
    from genbench.report.summary import write_summary
    from genbench.results.archive import is_archive
    from genbench.results.store import RunDirectory

    if out is not None:
        echo(load(*runs).report(out))
        return
    if len(runs) > 1:
        raise UsageError(f"{len(runs)} runs share no report.html.", "Name a file for it: --out comparison.html.")
    if is_archive(Path(runs[0])):
        cure = "Name a file to write: --out report.html."
        raise UsageError(f"{runs[0]} is an archive, which can only be read.", cure)
    summary = write_summary(RunDirectory.open(runs[0]))
    for path in summary.written:
        echo(path)
    if summary.warnings:
        raise UsageError("\n".join(summary.warnings))
