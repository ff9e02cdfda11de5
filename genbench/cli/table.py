"""`genbench table`: print the comparison table of one or more runs."""

from __future__ import annotations

import click

from genbench.cli.flags import settings_filter, target_option, where_option
from genbench.cli.output import echo, line_width
from genbench.errors import NoDataError


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
@where_option
@click.option(
    "--over-seeds/--per-seed",
    default=None,
    help="One row per cell with mean ± standard error over seeds, or one row per seed."
    " [default: over seeds if there are several]",
)
@click.option("--no-references", is_flag=True, help="Leave out the rows of real images, noise and a perfect generator.")
@click.option(
    "--letters", is_flag=True, help="Metrics over seeds: letters of significance groups, as `compare RUN` has them."
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    metavar="N",
    help="The first N rows only, by --sort or the first metric; 0: all. [default: 300 with plain, else all]",
)
@click.option("--wide", is_flag=True, help="Plain: every column, each row in one line, however wide.")
@target_option("[default: the targets of the runs]")
def command(
    runs: tuple[str, ...],
    format_name: str,
    sort: str | None,
    columns: str | None,
    where: tuple[str, ...],
    over_seeds: bool | None,
    no_references: bool,
    letters: bool,
    rows: int | None,
    wide: bool,
    target: tuple[str, ...],
) -> None:
    """Print the comparison table of one or more RUNs."""
    from genbench.commands.load import load
    from genbench.report.table.render import READABLE_ROWS

    results = load(*runs)
    if not results.damaged and all(cell.status == "not run" for cell in results):
        raise NoDataError(f"No cell of {', '.join(runs)} has run.", f"Run `genbench run --resume {runs[0]}`.")
    results = results.where(settings_filter(where))
    names = [name for name in columns.split(",") if name.strip()] if columns else None
    table = results.table(
        names, sort, over_seeds=over_seeds, targets=target, references=not no_references, letters=letters
    )
    most = (READABLE_ROWS if format_name == "plain" else 0) if rows is None else rows
    text = table.text(format_name, None if wide else line_width(), most or None)
    echo(text, nl=False, as_json=format_name == "json")
