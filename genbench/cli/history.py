"""`genbench history`: speed and quality over runs, with the changes of level. Shows; decides nothing."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag


@click.command("history")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option(
    "--quantity", "quantities", multiple=True, metavar="NAME", help="throughput or a metric; repeatable. [all]"
)
@click.option("--out", type=click.Path(), metavar="FILE.svg", help="Draw it.")
@click.option("--all", "everything", is_flag=True, help="List every run, not only those at which a level changed.")
@as_json_flag
def command(
    runs: tuple[str, ...], quantities: tuple[str, ...], out: str | None, everything: bool, as_json: bool
) -> None:
    """Show throughput and metrics over RUNs in order of time, with the commit of each, and where a level changed.

    An annotation, never a gate: a change of level ends with exit code 0 too. Numbers of other machines, settings or
    protocols are series of their own. The last two runs cannot yet show a change.
    """
    from pathlib import Path

    from genbench.errors import NoDataError, UsageError, near_miss
    from genbench.gate.history import time_series
    from genbench.report.history import as_json as encode
    from genbench.report.history import text
    from genbench.report.html.history_figure import figure
    from genbench.results.files import atomic_write
    from genbench.results.store import read_runs

    found = time_series(read_runs(dict.fromkeys(runs)))
    known = list(dict.fromkeys(series.quantity for series in found))
    for name in quantities if found else ():
        if name not in known:
            raise UsageError(f"No run has a '{name}'.{near_miss(name, known)}", f"They have: {', '.join(known)}.")
    shown = [series for series in found if not quantities or series.quantity in quantities]
    if not shown:
        raise NoDataError(f"Nothing was measured in {', '.join(runs)}.")
    click.echo(encode(shown) if as_json else text(shown, everything), nl=False)
    if out is not None:
        try:
            atomic_write(Path(out), figure(shown).encode())
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}.", "Choose another file.") from error
