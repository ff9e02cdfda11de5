"""`genbench run`: train and measure models, and write the comparison table."""

from __future__ import annotations

from pathlib import Path
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
    use_weights,
    weights_flag,
)
from genbench.cli.output import echo
from genbench.errors import UsageError
from genbench.plan.profiles import PROFILES
from genbench.plan.request import Request, make_request, read_config

if TYPE_CHECKING:
    from genbench.plan.planner import Plan
    from genbench.plugins.catalogue import Catalogue
    from genbench.runner.executor import Executor

CHANGED_BY_RESUME = (  # not part of the plan
    *("timeout", "memory_limit", "threads", "weights", "reporters", "plugins"),
    *("rdzv_endpoint", "rdzv_id"),
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
    "--reporters", metavar="A,B,…", help="Trackers to report to; see `genbench list reporters`. [default: none]"
)
@device_option("auto", configurable=True)
@click.option("--profile", metavar="NAME", help=f"Budget: {', '.join(PROFILES)}. [default: quick]")
@set_option("a model, loss, dataset, metric or reporter, or a recipe field of one model")
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
    from genbench.results.environment_variables import require_valid

    require_valid()
    flags |= {name: list(flags[name]) or None for name in ("plugins", "target")}
    executor = choose_executor(in_process, pdb)
    if resume is not None:
        given = [name for name, value in flags.items() if value is not None and name not in CHANGED_BY_RESUME]
        if given or settings or config:
            named = given[0] if given else "set" if settings else "config"
            raise UsageError(
                f"--resume continues a fixed plan; --{named.replace('_', '-')} cannot change it.",
                "Remove it, or start a new run.",
            )
        if dry_run:
            raise UsageError(
                "--dry-run previews a new plan; it does not work with --resume.",
                f"To see which cells are missing, run: genbench show {resume}",
            )
        return _resume(executor, resume, flags, trust_plugins, quiet, as_json)
    if trust_plugins:
        raise UsageError("--trust-plugins concerns the plugin files of an existing run.", "Use it with --resume.")
    merged = {**(read_config(config) if config else {})}
    merged.update({name: value for name, value in flags.items() if value is not None})
    request = make_request(merged, settings)
    return _run(executor, request, dry_run, quiet, as_json)


def _require_unicode(flag: str, path: str) -> None:
    """Raise `UsageError` for a path that cannot be written into messages and results, which are UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="backslashreplace").decode()
        raise UsageError(f"{flag} {shown} is not valid UTF-8.", "Choose another name, or rename the folder.") from None


def choose_executor(in_process: bool, debugger: bool) -> Executor:
    """Return where the cells run: in worker processes, or in this one."""
    if in_process or debugger:
        from genbench.runner.in_process import InProcessExecutor

        echo(
            "Note: the cells run in this process: timings are not valid, and there is no limit on time or memory.",
            err=True,
        )
        return InProcessExecutor(debugger)
    from genbench.runner.pool import WorkerPool

    return WorkerPool()


def _run(executor: Executor, request: Request, dry_run: bool, quiet: bool, as_json: bool) -> int:
    from genbench.cli._run_steps import (
        create_run,
        dry_run_report,
        execute,
        make_rendezvous,
        parse_device,
        require_device,
        require_processes,
        resolve_auto,
        resumption_named,
    )
    from genbench.plan.planner import make_plan
    from genbench.plan.reporters import choose_reporters
    from genbench.plugins.catalogue import discover
    from genbench.results.run_lock import hold
    from genbench.runner.supervisor import interrupt_on_signals

    device = resolve_auto(parse_device(request.device))
    _require_unicode("--out", request.out or "")
    use_weights(request.weights)
    with interrupt_on_signals(), executor as pool:
        pool.start()  # import torch while the plan is made
        catalogue: Catalogue = discover(request.plugins)
        plan: Plan = make_plan(request, catalogue, device.partition(":")[0])
        reporters = choose_reporters(request.reporters, request.set, catalogue)
        for warning in plan.warnings:
            echo(f"Note: {warning}", err=True)
        facts = require_device(pool, plan.cells, device, chosen=request.device != "auto")
        require_processes(plan.cells, device, facts, make_rendezvous(request))
        pool.require_executable(plan.cells)
        if dry_run:
            report, code = dry_run_report(pool, plan, device, request.threads, as_json)
            echo(report, nl=False, as_json=as_json)
            return code
        run, record = create_run(request, plan, reporters, device, facts)
        with hold(run.record_path), resumption_named(run):
            return execute(pool, run, record, catalogue, device, quiet, as_json)


def _resume(
    executor: Executor, path: str, flags: dict[str, Any], trust_plugins: bool, quiet: bool, as_json: bool
) -> int:
    from genbench.cli._run_steps import (
        enter_planning_directory,
        execute,
        reopen_run,
        require_device,
        require_processes,
        resumption_named,
    )
    from genbench.plugins.recorded_files import Allowed
    from genbench.results.run_lock import hold
    from genbench.results.store import RunDirectory
    from genbench.runner.supervisor import interrupt_on_signals

    _require_unicode("--resume", path)
    use_weights(flags["weights"])
    allowed = Allowed([str(Path(file).resolve()) for file in flags["plugins"] or ()], trust_plugins)
    with (
        enter_planning_directory(RunDirectory.open(path)) as run,
        hold(run.record_path),
        interrupt_on_signals(),
        resumption_named(run),
        executor as pool,
    ):
        pool.start()  # import torch while the plugins are loaded
        record, catalogue, device = reopen_run(run, flags, allowed)
        facts = require_device(pool, record.cells, device, chosen=True)
        require_processes(record.cells, device, facts, record.rendezvous)
        pool.require_executable(record.cells)
        return execute(pool, run, record, catalogue, device, quiet, as_json)
