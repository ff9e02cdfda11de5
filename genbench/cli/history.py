"""`genbench history`: show speed and quality over runs and where they changed; it never judges."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import echo, print_result, save_figure


@click.command("history")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option(
    "--quantity", "quantities", multiple=True, metavar="NAME", help="throughput or a metric; repeatable. [default: all]"
)
@click.option("--out", type=click.Path(), metavar="FILE", help="Also draw a figure: .svg, .pdf or .png.")
@click.option("--all", "everything", is_flag=True, help="List every run, not only those where the level changed.")
@as_json_flag
def command(
    runs: tuple[str, ...], quantities: tuple[str, ...], out: str | None, everything: bool, as_json: bool
) -> None:
    """Show throughput and metrics of RUNs in order of time, with their commits, and where the level changed.

    This is an annotation, not a gate: the exit code is 0 even if a level changed. Other machines, settings or protocols
    form separate series. A change at the last two runs cannot be detected yet.
    """
    from genbench.commands.load import load
    from genbench.report.figures.figure import figure_path

    path = None if out is None else figure_path(out)
    found = load(*dict.fromkeys(runs)).history(quantities)
    for note in found.notes:
        echo(f"Note: {note}.", err=True)
    print_result(found, as_json, text=found.text(everything))
    if path is not None:
        save_figure(found.figure(), path)
