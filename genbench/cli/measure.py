"""`genbench measure`: measure finished runs with further metrics and samplers, from the weights that they saved."""

from __future__ import annotations

import click

from genbench.cli.flags import (
    as_json_flag,
    plugin_files,
    quiet_option,
    set_option,
    trust_plugins_flag,
    weights_flag,
)
from genbench.cli.output import echo, line_width, record_exit_code
from genbench.errors import ExitCode


@click.command("measure")
@click.argument("run", type=click.Path())
@click.option(
    "--metrics", metavar="A,B,…", help="Metrics, as for `genbench run`. [default: with --samplers, those of each cell]"
)
@click.option(
    "--samplers", metavar="A,B:OPTION=VALUE,…", help="Also measure samples of these samplers, as for `genbench run`."
)
@click.option("--cell", "part", metavar="CELL", help="Measure one cell: its id, or any unambiguous part of it.")
@click.option("--again", is_flag=True, help="Also measure what has a value already, and replace it.")
@set_option("a metric")
@plugin_files
@trust_plugins_flag
@weights_flag
@click.option(
    "--in-process", is_flag=True, help="Measure in this process, so that breakpoint() works in the code of a metric."
)
@quiet_option("failures and the table")
@as_json_flag
def command(
    run: str,
    metrics: str | None,
    samplers: str | None,
    part: str | None,
    again: bool,
    settings: tuple[str, ...],
    plugins: tuple[str, ...],
    trust_plugins: bool,
    weights: str | None,
    in_process: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Measure the finished cells of RUN with further metrics and samplers, from their weights; add the values to it.

    The samples are those that the run drew at the end of training, and those of the samplers. The reference rows are
    measured with new metrics too.

    \b
    genbench measure results/first --metrics kd,prdc
    genbench measure results/first --metrics hill --plugin my_metrics.py --set hill.order=2
    genbench measure results/first --samplers ddim:steps=10,truncated:psi=0.7
    """
    from genbench.commands.measure import measure_run
    from genbench.report.table.layout import clean

    results = measure_run(
        run, metrics, samplers=samplers, cell=part, again=again, set=settings, plugins=plugins,
        trust_plugins=trust_plugins, weights=weights, in_process=in_process, progress=not quiet,
    )  # fmt: skip
    for problem in results.problems:
        echo(f"Failed: {clean(problem, 2000)}", err=True)
    for warning in results.warnings:
        echo(f"Warning: {warning}", err=True)
    code = ExitCode.FAILED_CELLS if results.problems else ExitCode.OK
    record_exit_code(code)
    echo(results.table().text("json" if as_json else "plain", line_width()), nl=False, as_json=as_json)
    return code
