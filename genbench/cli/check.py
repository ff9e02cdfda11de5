"""`genbench check`: compare a stored run with a baseline file, as a CI gate."""

from __future__ import annotations

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
    from genbench.cli._judgement import report_judgement
    from genbench.commands.load import load

    found = load(run).check(baseline, config=config, max_slowdown=max_slowdown)
    return report_judgement(found, as_json, everything, summary, junit)
