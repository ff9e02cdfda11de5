"""`genbench check`: compare a stored run with a baseline file, as a CI gate."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.flags import report_options


@click.command("check")
@click.argument("run", type=click.Path())
@click.option("--baseline", required=True, type=click.Path(), metavar="FILE", help="Baseline file to compare with.")
@click.option(
    "--config", type=click.Path(), metavar="FILE.toml", help="Limits, under [gate]. [default: counters may not grow]"
)
@click.option(
    "--max-slowdown",
    metavar="SHARE",
    help="Largest loss of throughput that passes, such as 5% or 0.05; overrides the file."
    " [default: speed is not judged]",
)
@report_options
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
    """Check RUN against a baseline: counters exactly, speed and quality within their limits.

    \b
    genbench baseline update RUN --baseline baseline.json     create it, and commit it
    genbench check RUN --baseline baseline.json
    """
    from genbench.cli._gate_steps import report_verdict, resolve_limits
    from genbench.gate.from_file import measurements_of_baseline
    from genbench.gate.from_run import measurements_of_run
    from genbench.results.baseline import read_baseline
    from genbench.results.store import RunDirectory

    limits = resolve_limits(config, max_slowdown)
    base = measurements_of_baseline(read_baseline(Path(baseline)), str(baseline))
    head = measurements_of_run(RunDirectory.open(run).read())
    return report_verdict(base, head, limits, as_json, everything, summary, junit, strict=False)
