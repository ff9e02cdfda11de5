"""`genbench show`: show the plan of a run, the status of its cells, and where its files are."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import echo


@click.command("show")
@click.argument("run", type=click.Path())
@click.option("--cell", "part", metavar="CELL", help="Show one cell in detail: its id, or any unambiguous part of it.")
@as_json_flag
def command(run: str, part: str | None, as_json: bool) -> None:
    """Show the plan of RUN, the status of every cell, and where its files are."""
    import msgspec

    from genbench.errors import NoDataError
    from genbench.report.run_details import (
        cell_text,
        describe_cell,
        describe_run,
        run_text,
    )
    from genbench.results.store import RunDirectory

    directory = RunDirectory.open(run)
    contents = directory.read()
    if not contents.record.cells:
        raise NoDataError(f"{run} has no cells.", "Start a run with `genbench run --models …`.")
    if part is None:
        described = describe_run(directory, contents)
        text = run_text(described)
    else:
        planned = directory.find_cell(part)
        described = describe_cell(directory, contents, planned)
        text = cell_text(described, planned, contents.cells.results.get(planned.id))
    if as_json:
        text = msgspec.json.format(msgspec.json.encode(described), indent=2).decode() + "\n"
    echo(text, nl=False, as_json=as_json)
