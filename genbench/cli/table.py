"""`genbench table`: print the comparison table of one or more runs."""

from __future__ import annotations

import click

from genbench.cli.flags import target_option
from genbench.cli.output import echo


@click.command("table")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option(
    "--format",
    "format_name",
    default="plain",
    show_default=True,
    metavar="NAME",
    help="github, csv, latex, json, html or plain.",
)
@click.option("--sort", metavar="COLUMN", help="Sort by this column; -COLUMN: largest first.")
@click.option("--columns", metavar="A,B,…", help="Show only these columns, in this order.")
@click.option(
    "--over-seeds/--per-seed",
    default=None,
    help="One row per cell with mean ± standard error over seeds, or one row per seed."
    " [default: over seeds if there are several]",
)
@target_option("[default: the targets of the runs]")
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
        raise NoDataError(f"No cell of {', '.join(runs)} has run.", f"Run `genbench run --resume {runs[0]}`.")
    names = [name for name in columns.split(",") if name.strip()] if columns else None
    table = make_table(
        *contents,
        over_seeds=several(contents) if over_seeds is None else over_seeds,
        targets=find_targets(contents, map(parse_target, target)) if target else None,
    )
    echo(render(table, format_name, sort, names), nl=False, as_json=format_name == "json")
