"""`genbench baseline`: create or update the baseline file for `genbench check`."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli import NearMissGroup
from genbench.cli.output import echo


@click.group("baseline", cls=NearMissGroup)
def command() -> None:
    """Create or update the baseline file that `genbench check` compares runs with."""


@command.command("update")
@click.argument("run", type=click.Path())
@click.option(
    "--baseline", required=True, type=click.Path(), metavar="FILE", help="Baseline file, meant to be committed."
)
@click.option("--only", is_flag=True, help="Drop cells that RUN does not have. [default: keep them]")
@click.option(
    "--counters-only",
    is_flag=True,
    help="Store counters only, no speeds or metrics: counters depend on the torch version alone.",
)
def update(run: str, baseline: str, only: bool, counters_only: bool) -> None:
    """Write the measurements of RUN to the baseline file.

    Cells of the file that RUN does not have stay unchanged.
    """
    import msgspec

    from genbench.errors import NoDataError
    from genbench.gate.from_file import baseline_of, counters_of
    from genbench.gate.from_run import measurements_of_run
    from genbench.results.baseline import read_baseline, write_baseline
    from genbench.results.input_files import path_kind
    from genbench.results.store import RunDirectory

    path = Path(baseline)
    measurements = measurements_of_run(RunDirectory.open(run).read())
    new = baseline_of(counters_of(measurements) if counters_only else measurements)
    failed = [f"{name} ({', '.join(entry.failures)})" for name, entry in measurements.entries.items() if entry.failures]
    if not new.cells:
        raise NoDataError(f"No cell of {run} succeeded, so there is nothing to store.", "\n".join(failed))
    before = read_baseline(path).cells if path_kind(path) != "missing" and not only else {}
    write_baseline(path, msgspec.structs.replace(new, cells={**before, **new.cells}))
    for cell in failed:
        echo(f"Warning: left out: {cell}", err=True)
    kept = len({**before, **new.cells}) - len(new.cells)
    echo(f"{path}: {len(new.cells)} cells updated" + (f", {kept} kept" if kept else ""))
