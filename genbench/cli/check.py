"""`genbench check`: a stored run against a baseline file; the gate of a CI job."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.flags import as_json_flag


@click.command("check")
@click.argument("run", type=click.Path())
@click.option("--baseline", required=True, type=click.Path(), metavar="FILE", help="What the run is held against.")
@click.option("--config", type=click.Path(), metavar="FILE.TOML", help="Limits, under [gate]. [counters may not grow]")
@click.option(
    "--max-slowdown", metavar="SHARE", help="By how much throughput may fall; wins over the file. [not judged]"
)
@click.option("--all", "everything", is_flag=True, help="Show counters that are as they were, too.")
@click.option("--summary", type=click.Path(), metavar="FILE", help="Append Markdown, say to $GITHUB_STEP_SUMMARY.")
@click.option("--junit", type=click.Path(), metavar="FILE", help="Write JUnit XML, one test case per cell.")
@as_json_flag
def command(
    run: str,
    baseline: str,
    config: str | None,
    max_slowdown: str | None,
    everything: bool,
    summary: str | None,
    junit: str | None,
    as_json: bool,
) -> int:
    """Hold RUN against a baseline: counters exactly, speed and quality within their limits.

    \b
    genbench baseline update RUN --baseline baseline.json     make it, and commit it
    genbench check RUN --baseline baseline.json
    """
    from genbench.cli._gate_steps import conclude, limits_from
    from genbench.gate.from_file import measurements_of_baseline
    from genbench.gate.from_run import measurements_of_run
    from genbench.results.baseline import read_baseline
    from genbench.results.store import RunDirectory

    limits = limits_from(config, max_slowdown)
    base = measurements_of_baseline(read_baseline(Path(baseline)), str(baseline))
    head = measurements_of_run(RunDirectory.open(run).read())
    return conclude(base, head, limits, as_json, everything, summary, junit, strict=False)
