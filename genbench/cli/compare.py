"""`genbench compare`: two stored runs, quantity by quantity."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag


@click.command("compare")
@click.argument("base", type=click.Path())
@click.argument("head", type=click.Path())
@click.option(
    "--limit", default="5%", show_default=True, metavar="SHARE", help="By how much speed and metrics may worsen."
)
@click.option("--all", "everything", is_flag=True, help="Show counters that are as they were, too.")
@click.option("--summary", type=click.Path(), metavar="FILE", help="Append Markdown.")
@click.option("--junit", type=click.Path(), metavar="FILE", help="Write JUnit XML, one test case per cell.")
@as_json_flag
def command(
    base: str, head: str, limit: str, everything: bool, summary: str | None, junit: str | None, as_json: bool
) -> int:
    """Compare two stored results: run directories, baseline files, or what pytest-benchmark wrote (JSON).

    A folder of pytest-benchmark's files is one side, each file one process; speeds are judged from two a side on.

    Where machines or protocols differ, numbers are not compared, and the field that differs is named.
    """
    from genbench.cli._gate_steps import conclude, read_measurements
    from genbench.gate.limits import Limits, parse_limit

    allowed = parse_limit(limit if limit.strip().endswith("%") else f"{limit}%", "--limit")
    limits = Limits(max_slowdown=allowed, other_metrics=allowed)
    return conclude(
        read_measurements(base), read_measurements(head), limits, as_json, everything, summary, junit, strict=True
    )
