"""`genbench history`: show speed and quality over runs and where they changed; it never judges."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import echo, save_figure


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
    from genbench.errors import NoDataError, UsageError, near_miss
    from genbench.gate.history import left_out, time_series
    from genbench.report.figures.appearance import make_appearance
    from genbench.report.figures.figure import figure_path
    from genbench.report.figures.kinds import figure_of_series
    from genbench.report.figures.options import Options
    from genbench.report.history import as_json as encode
    from genbench.report.history import text
    from genbench.results.store import read_runs

    path = None if out is None else figure_path(out)
    contents = read_runs(dict.fromkeys(runs))
    for note in left_out(contents):
        echo(f"Note: {note}.", err=True)
    found = time_series(contents)
    known = list(dict.fromkeys(series.quantity for series in found))
    for name in quantities if found else ():
        if name not in known:
            raise UsageError(
                f"No run has the quantity '{name}'.{near_miss(name, known)}", f"Quantities: {', '.join(known)}."
            )
    shown = [series for series in found if not quantities or series.quantity in quantities]
    if not shown:
        raise NoDataError(f"No measurements in {', '.join(runs)}.", "Name runs with at least one successful cell.")
    echo(encode(shown) if as_json else text(shown, everything), nl=False, as_json=as_json)
    if path is not None:
        save_figure(figure_of_series(shown, Options(), make_appearance()), path)
