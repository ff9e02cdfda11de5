"""`genbench compare`: compare two stored results, quantity by quantity."""

from __future__ import annotations

import click

from genbench.cli.flags import report_options


@click.command("compare")
@click.argument("base", type=click.Path())
@click.argument("head", type=click.Path())
@click.option(
    "--limit",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Largest acceptable degradation of speed and metrics, such as 5% or 0.05.",
)
@report_options
def command(
    base: str, head: str, limit: str, everything: bool, summary: str | None, junit: str | None, as_json: bool
) -> int:
    """Compare two stored results: run directories, baseline files, or JSON files of pytest-benchmark.

    A folder of pytest-benchmark files is one result, each file one process; judging speed needs two processes or more
    for each result.

    Numbers from different machines or protocols are not compared; the field that differs is named. A machine that a
    result does not name equals no other.
    """
    from genbench.cli._gate_steps import read_measurements, report_verdict
    from genbench.gate.limits import Limits, parse_share_limit

    allowed = parse_share_limit(limit, "--limit")
    limits = Limits(max_slowdown=allowed, other_metrics=allowed)
    return report_verdict(
        read_measurements(base), read_measurements(head), limits, as_json, everything, summary, junit, strict=True
    )
