"""`genbench baseline`: make the file that `genbench check` holds runs against."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli import NearMissGroup


@click.group("baseline", cls=NearMissGroup)
def command() -> None:
    """Make the file that `genbench check` holds runs against."""


@command.command("update")
@click.argument("run", type=click.Path())
@click.option(
    "--baseline", required=True, type=click.Path(), metavar="FILE", help="The file; it is made to be committed."
)
@click.option("--only", is_flag=True, help="Drop cells that RUN does not have. [they stay]")
@click.option(
    "--counters-only", is_flag=True, help="Keep no speed and no metric: what is left depends on torch's version alone."
)
def update(run: str, baseline: str, only: bool, counters_only: bool) -> None:
    """Write what RUN measured to the baseline file; cells of the file that RUN does not have stay as they are."""
    import msgspec

    from genbench.errors import NoDataError
    from genbench.gate.from_file import baseline_of, counters_of
    from genbench.gate.from_run import measurements_of_run
    from genbench.results.baseline import read_baseline, write_baseline
    from genbench.results.store import RunDirectory

    path = Path(baseline)
    sheet = measurements_of_run(RunDirectory.open(run).read())
    made = baseline_of(counters_of(sheet) if counters_only else sheet)
    failed = [f"{name} ({', '.join(entry.failures)})" for name, entry in sheet.entries.items() if entry.failures]
    if not made.cells:
        raise NoDataError(f"No cell of {run} has ended well: there is nothing to keep.", "\n".join(failed))
    before = read_baseline(path).cells if path.exists() and not only else {}
    write_baseline(path, msgspec.structs.replace(made, cells={**before, **made.cells}))
    for told in failed:
        click.echo(f"Warning: left out: {told}", err=True)
    kept = len({**before, **made.cells}) - len(made.cells)
    click.echo(f"{path}: {len(made.cells)} cells updated" + (f", {kept} kept" if kept else ""))
