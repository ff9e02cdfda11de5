"""`genbench compare`: compare two stored results, the cells of one run, or methods over datasets."""

from __future__ import annotations

import click

from genbench.cli.flags import report_options
from genbench.cli.output import print_result
from genbench.errors import ExitCode, UsageError


@click.command("compare")
@click.argument("results", nargs=-1, required=True, type=click.Path(), metavar="BASE HEAD | RUN...")
@click.option(
    "--limit",
    metavar="SHARE",
    help="Largest acceptable degradation of speed and metrics, such as 5% or 0.05. [default: 5%]",
)
@click.option(
    "--metric",
    "metrics",
    metavar="A,B,…",
    help="Compare the cells of RUN by these metrics, or by `all`. [default: fid, or the first distance]",
)
@click.option("--over-datasets", is_flag=True, help="Rank the methods of one or more RUNs over their datasets.")
@report_options
def command(
    results: tuple[str, ...],
    limit: str | None,
    metrics: str | None,
    over_datasets: bool,
    everything: bool,
    summary: str | None,
    junit: str | None,
    as_json: bool,
) -> int:
    """Compare two stored results: run directories, baseline files, or JSON files of pytest-benchmark.

    A folder of pytest-benchmark files is one result, each file one process; judging speed needs two processes or more
    for each result.

    Numbers from different machines or protocols are not compared; the field that differs is named. A machine that a
    result does not name equals no other. Metrics are paired by seed if both results have the same seeds.

    With one RUN, its cells are compared with each other over seeds: which one is better, by how much, and whether
    the difference is real. With --over-datasets, methods are ranked over the datasets of all RUNs.
    """
    if over_datasets or len(results) == 1:
        from genbench.commands.load import load

        gate = {"--limit": limit, "--all": everything, "--summary": summary, "--junit": junit}
        if unused := [flag for flag, value in gate.items() if value]:
            raise UsageError(
                f"{', '.join(unused)} belongs to the comparison of two results.",
                "Give BASE and HEAD, or leave it out.",
                code="GB104",
            )
        loaded = load(*results)
        print_result(loaded.compare_over_datasets(metrics) if over_datasets else loaded.compare(metrics), as_json)
        return ExitCode.OK
    if len(results) > 2 or metrics is not None:
        raise UsageError(
            f"{len(results)} results cannot be compared{' by --metric' if metrics is not None else ''}.",
            "Give BASE and HEAD, one RUN whose cells are compared with each other, or RUNs with --over-datasets.",
            code="GB102",
        )
    from genbench.cli._judgement import report_judgement
    from genbench.commands.comparisons.judgement import compare

    base, head = results
    found = compare(base, head, limit="5%" if limit is None else limit)
    return report_judgement(found, as_json, everything, summary, junit)
