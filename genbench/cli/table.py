"""`genbench table`: the comparison table of one or more runs."""

from __future__ import annotations

import click


@click.command("table")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option(
    "--format", "format_name", default="plain", show_default=True, help="github, csv, latex, json, html or plain."
)
@click.option("--sort", metavar="COLUMN", help="Sort by this column; -COLUMN for the largest first.")
@click.option("--columns", metavar="A,B,…", help="Only these columns, in this order.")
@click.option(
    "--over-seeds/--per-seed",
    default=None,
    help="One row for all seeds of a cell, mean ± standard error over them; or one for each.  [over seeds, if several]",
)
@click.option(
    "--target",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Show the images and seconds until the metric stays there or better; repeatable. [the runs' own]",
)
def command(
    runs: tuple[str, ...],
    format_name: str,
    sort: str | None,
    columns: str | None,
    over_seeds: bool | None,
    target: tuple[str, ...],
) -> None:
    """Print the comparison table of one or more RUNs."""
    from genbench.errors import NoDataError
    from genbench.plan.request import parse_target
    from genbench.report.table.comparison_table import make_table
    from genbench.report.table.render import render
    from genbench.report.table.seeds import several
    from genbench.report.table.targets import find_targets
    from genbench.results.store import read_runs

    contents = read_runs(runs)
    if not any(run.cells.results or run.cells.damaged for run in contents):
        raise NoDataError(f"No cell of {', '.join(runs)} has run.", f"Go on with `genbench run --resume {runs[0]}`.")
    names = [name for name in columns.split(",") if name.strip()] if columns else None
    table = make_table(
        *contents,
        over_seeds=several(contents) if over_seeds is None else over_seeds,
        targets=find_targets(contents, map(parse_target, target)) if target else None,
    )
    click.echo(render(table, format_name, sort, names), nl=False)
