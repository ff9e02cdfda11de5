"""`genbench run`: train and measure models, and write the comparison table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.flags import (
    as_json_flag,
    config_option,
    device_option,
    plugin_files,
    quiet_option,
    recipe_flags,
    selection_options,
    set_option,
    target_option,
    threads_option,
    trust_plugins_flag,
    weights_flag,
)
from genbench.cli.output import echo, line_width, record_exit_code
from genbench.errors import ExitCode, UsageError, how_to_explain
from genbench.planning.profiles import PROFILES

if TYPE_CHECKING:
    from genbench.commands.execution import Finished
    from genbench.planning.request import Request
    from genbench.runner.job_runner import JobRunner

_IN_PROCESS = "Note: the cells run in this process: timings are not valid, and there is no limit on time or memory."
CHANGED_BY_RESUME = (  # not part of the plan
    *("timeout", "memory_limit", "threads", "weights", "reporters", "plugins"),
    *("rdzv_endpoint", "rdzv_id", "executor"),
)


@click.command("run")
@selection_options()
@click.option("--seeds", metavar="0,1,…", help="Training seeds, one cell for each. [default: 0]")
@click.option(
    "--metrics",
    metavar="A,B,…",
    help="Metrics; 'fd': with every extractor that needs no download; 'none'. [default: all default metrics]",
)
@click.option(
    "--samplers",
    metavar="A,B:OPTION=VALUE,…",
    help="Also measure the cells with these samplers of their families. [default: only each family's own]",
)
@target_option("Without --evaluate-every, the metric is evaluated every twentieth of the budget.")
@click.option(
    "--race",
    metavar="METRIC",
    help="Drop cells that are surely not the best by this metric, at looks after each seed from the third, and give "
    "their budget to the others; METRIC:error=5%:seeds=N sets the error and the most seeds of a cell. "
    "[default: all cells run]",
)
@click.option(
    "--reporters", metavar="A,B,…", help="Trackers to report to; see `genbench list reporters`. [default: none]"
)
@device_option("auto", configurable=True)
@click.option("--executor", metavar="NAME", help="Where the cells run; see `genbench list executors`. [default: local]")
@click.option("--parallel", type=int, metavar="N", help="Cells that run at the same time on this machine. [default: 1]")
@click.option("--devices", metavar="A,B,…", help="Devices that run one cell each at the same time: cuda:0,cuda:1.")
@click.option(
    "--timing",
    metavar="HOW",
    help="Cells that share processors or a device train one at a time (turns) or side by side (shared). "
    "[default: turns]",
)
@click.option("--profile", metavar="NAME", help=f"Budget: {', '.join(PROFILES)}. [default: quick]")
@set_option("a model, loss, dataset, metric, reporter or executor, or a recipe field of one model")
@click.option(
    "--zip",
    multiple=True,
    metavar="A,B",
    help="Pair the values of these settings, each with as many, instead of crossing them; repeatable.",
)
@config_option
@plugin_files
@weights_flag
@click.option("--out", type=click.Path(), metavar="DIR", help="The run directory. [default: results/TIME-MODELS]")
@click.option(
    "--resume", type=click.Path(), metavar="RUN", help="Resume an interrupted run; finished cells are not repeated."
)
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time limit per cell; 0: no limit. [default: the profile's]"
)
@click.option(
    "--memory-limit", type=float, metavar="GIB", help="Memory limit per cell. [default: nine tenths of free memory]"
)
@threads_option
@click.option(
    "--rdzv-endpoint",
    metavar="HOST:PORT",
    help="Rendezvous endpoint for training on several machines, see --nnodes (same as torchrun).",
)
@click.option("--rdzv-id", metavar="ID", help="Rendezvous id (same as torchrun). [default: genbench]")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the cells with an estimate of their cost, and which are impossible and why; do not train.",
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Run the cells in this process, so that breakpoint() works in a plugin; timings are then not valid.",
)
@trust_plugins_flag
@click.option("--pdb", is_flag=True, help="Start the debugger when a cell raises an exception; implies --in-process.")
@quiet_option("failures and the table")
@as_json_flag
@recipe_flags
def command(
    settings: tuple[str, ...],
    config: str | None,
    resume: str | None,
    dry_run: bool,
    in_process: bool,
    pdb: bool,
    quiet: bool,
    as_json: bool,
    trust_plugins: bool,
    **flags: Any,
) -> int:
    """Train and measure models; write the comparison table.

    \b
    genbench run --models gan,dcgan,vae
    genbench run --models dcgan,vae --device cuda --profile standard --seeds 0,1,2
    genbench run --models dcgan --datasets folder:photos --set folder.size=64
    """
    from genbench.commands.execution import Output
    from genbench.commands.preparation import choose_job_runner
    from genbench.commands.run import continue_run, start
    from genbench.planning.request import make_request, read_config
    from genbench.report.progress import PlainDisplay, choose_display

    flags |= {name: list(flags[name]) or None for name in ("plugins", "target", "zip")}
    executor = choose_job_runner(in_process, pdb)
    if executor.in_process:
        echo(_IN_PROCESS, err=True)
    plain = executor.in_process and not quiet
    display = PlainDisplay(sys.stderr) if plain else choose_display(quiet=quiet)
    output = Output(display, partial(echo, err=True))
    if resume is not None:
        given = [name for name, value in flags.items() if value is not None and name not in CHANGED_BY_RESUME]
        if given or config:
            named = given[0] if given else "config"
            raise UsageError(
                f"--resume continues a fixed plan; --{named.replace('_', '-')} cannot change it.",
                "Remove it, or start a new run.",
                code="GB108",
            )
        if dry_run:
            raise UsageError(
                "--dry-run previews a new plan; it does not work with --resume.",
                f"To see which cells are missing, run: genbench show {resume}",
                code="GB104",
            )
        changes = flags | {"set": make_request({}, settings).set}
        return _report(continue_run(resume, executor, output, changes, trust_plugins), quiet, as_json)
    if trust_plugins:
        raise UsageError(
            "--trust-plugins concerns the plugin files of an existing run.", "Use it with --resume.", code="GB104"
        )
    merged = {**(read_config(config) if config else {})}
    merged.update({name: value for name, value in flags.items() if value is not None})
    request = make_request(merged, settings)
    if dry_run:
        return _dry_run(request, executor, output.notify, as_json)
    return _report(start(request, executor, output), quiet, as_json)


def _dry_run(request: Request, executor: JobRunner, notify: Callable[[str], object], as_json: bool) -> int:
    from genbench.commands.plan import tried
    from genbench.commands.preparation import prepared

    with prepared(request, executor, notify) as ready:
        made = tried(ready, request)
    echo(made.to_json() if as_json else made.text(), nl=False, as_json=as_json)
    return ExitCode.FAILED_CELLS if made.failing else ExitCode.OK


def _report(finished: Finished, quiet: bool, as_json: bool) -> int:
    """Print the table of a run and return the exit code."""
    from genbench.report.table.render import READABLE_ROWS, render

    code = ExitCode.OK if finished.succeeded else ExitCode.FAILED_CELLS
    code = ExitCode.INTERRUPTED if finished.interruption is not None else code
    record_exit_code(code)
    name, rows = ("json", None) if as_json else ("plain", READABLE_ROWS)
    text = render(finished.summary.table, name, width=line_width(), most_rows=rows)
    echo(text, nl=False, as_json=as_json)
    if not (quiet or as_json):
        echo(f"\nImages and report: {finished.run.path / 'report.html'}", err=True)
    if finished.interruption is not None:
        echo(finished.interruption, err=True)
        finished = finished._replace(codes=(*finished.codes, finished.interruption.code))
    if finished.codes:
        echo(how_to_explain(*finished.codes), err=True)
    return code
