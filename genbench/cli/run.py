"""`genbench run`: train and measure models, and write the comparison table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from genbench.api.recipe import RECIPE_SCHEMA
from genbench.cli.flags import plugin_files, use_weights, weights_flag
from genbench.errors import UsageError
from genbench.plan.profiles import PROFILES
from genbench.plan.request import Request, make_request, read_config

if TYPE_CHECKING:
    from genbench.plan.planner import Plan
    from genbench.plugins.catalogue import Catalogue
    from genbench.runner.executor import Executor

CHANGED_BY_RESUME = (  # they are no part of the plan
    *("timeout", "memory_limit", "threads", "weights", "reporters"),
    *("rdzv_backend", "rdzv_endpoint", "rdzv_id"),
)
SEVERAL = {"precision": ("fp32,bf16", "[fp32]"), "nproc": ("1,2", "[1]")}  # axes of the plan, as models and seeds are


def recipe_flags(function: Any) -> Any:
    """Add a flag for every field of the recipe."""
    for option in reversed(RECIPE_SCHEMA):
        kind: Any = {"int": int, "float": float}.get(option.type, str)
        flag = f"--{option.name.replace('_', '-')}"
        if option.name in SEVERAL:
            example, default = SEVERAL[option.name]
            help_text = f"{option.help}; several, such as {example}: one cell for each. {default}"
            function = click.option(flag, metavar="A,B,…", help=help_text)(function)
            continue
        help_text = option.help + (f" ({', '.join(option.choices)})" if len(option.choices) > 1 else "")
        metavar = "A,B,…" if option.type.startswith("list") else None
        function = click.option(flag, option.name, type=kind, default=None, metavar=metavar, help=help_text)(function)
    return function


@click.command("run")
@click.option(
    "--models", metavar="A,B,…", help="Models to compare; see `genbench list models`. [dcgan,dcgan-vae,gan,vae]"
)
@click.option("--losses", metavar="A,B,…", help="Losses to combine them with. [each model's own]")
@click.option("--datasets", metavar="A,B,…", help="Datasets; folder:PATH for your own images. [fashion-mnist-mini]")
@click.option("--seeds", metavar="0,1,…", help="Training seeds: one cell for each. [0]")
@click.option(
    "--metrics", metavar="A,B,…", help="Metrics; 'fd': all distances that need no download; 'none'. [the default ones]"
)
@click.option(
    "--target",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Show the images and seconds that it takes until the metric stays there or better; repeatable. Without"
    " --evaluate-every it is measured after each twentieth of the budget.",
)
@click.option(
    "--reporters", metavar="A,B,…", help="Trackers to write to as well; see `genbench list reporters`. [none]"
)
@click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, or auto. [auto]")
@click.option("--profile", metavar="NAME", help=f"Budget: {', '.join(PROFILES)}. [quick]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME.OPTION=VALUE",
    help="An option of a model, loss, dataset or reporter, or a recipe field for one model; repeatable.",
)
@click.option(
    "--config", type=click.Path(), metavar="PLAN.TOML", help="The same names from a file; a flag that is given wins."
)
@plugin_files
@weights_flag
@click.option("--out", type=click.Path(), metavar="DIR", help="The run directory. [results/TIME-MODELS]")
@click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with an interrupted run; nothing is repeated.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Hard limit for a cell; 0: none. [the profile's]")
@click.option(
    "--memory-limit", type=float, metavar="GIB", help="Memory that a cell may take. [nine tenths of what is free]"
)
@click.option("--threads", type=int, metavar="N", help="Torch threads of a cell. [all usable processors]")
@click.option(
    "--rdzv-endpoint",
    metavar="HOST:PORT",
    help="Where the processes of several machines find each other (--nnodes), as torchrun's flag.",
)
@click.option("--rdzv-backend", metavar="NAME", help="How they do, as torchrun's flag. [c10d]")
@click.option("--rdzv-id", metavar="ID", help="What tells their run from others, as torchrun's flag. [genbench]")
@click.option(
    "--dry-run", is_flag=True, help="Print the cells, what is impossible and why, and an estimate; train nothing."
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Run the cells in this process, so that breakpoint() works in a plugin; timings are then not valid.",
)
@click.option("--pdb", is_flag=True, help="Start the debugger when a cell raises an exception; implies --in-process.")
@click.option("--quiet", is_flag=True, help="No progress; only failures and the table.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
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
    **flags: Any,
) -> int:
    """Train and measure models, and write the comparison table.

    \b
    genbench run --models gan,dcgan,vae
    genbench run --models dcgan,vae --device cuda --profile standard --seeds 0,1,2
    genbench run --models dcgan --datasets folder:photos --set folder.size=64
    """
    flags |= {name: list(flags[name]) or None for name in ("plugins", "target")}
    executor = choose_executor(in_process, pdb)
    if resume is not None:
        given = [name for name, value in flags.items() if value is not None and name not in CHANGED_BY_RESUME]
        if given or settings or config:
            named = given[0] if given else "set" if settings else "config"
            raise UsageError(
                f"--resume goes on with a plan that is fixed; --{named.replace('_', '-')} cannot change it.",
                "Leave it away, or start a new run.",
            )
        if dry_run:
            raise UsageError(
                "--dry-run shows a plan before it is run; --resume goes on with one.",
                f"See what is missing with: genbench show {resume}",
            )
        return _resume(executor, resume, flags, quiet, as_json)
    merged = {**(read_config(config) if config else {})}
    merged.update({name: value for name, value in flags.items() if value is not None})
    request = make_request(merged, settings)
    return _run(executor, request, dry_run, quiet, as_json)


def choose_executor(in_process: bool, debugger: bool) -> Executor:
    """Return where the cells run: in worker processes, or in this one."""
    if in_process or debugger:
        from genbench.runner.in_process import InProcessExecutor

        click.echo(
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
        parse_device,
        rendezvous_of,
        require_device,
        require_processes,
        resolve_auto,
    )
    from genbench.plan.planner import make_plan
    from genbench.plan.reporters import choose_reporters
    from genbench.plugins.catalogue import discover
    from genbench.results.run_lock import hold

    device = resolve_auto(parse_device(request.device))
    use_weights(request.weights)
    with executor as pool:
        pool.start()  # it imports torch while the plan is made
        catalogue: Catalogue = discover(request.plugins)
        plan: Plan = make_plan(request, catalogue, device.partition(":")[0])
        reporters = choose_reporters(request.reporters, request.set, catalogue)
        for warning in plan.warnings:
            click.echo(f"Note: {warning}", err=True)
        facts = require_device(pool, device, chosen=request.device != "auto")
        require_processes(plan.cells, device, facts, rendezvous_of(request))
        pool.require_executable(plan.cells)
        if dry_run:
            report, code = dry_run_report(pool, plan, device, request.threads, as_json)
            click.echo(report, nl=False)
            return code
        run, record = create_run(request, plan, reporters, device, facts)
        with hold(run.record_path):
            return execute(pool, run, record, catalogue, device, quiet, as_json)


def _resume(executor: Executor, path: str, flags: dict[str, Any], quiet: bool, as_json: bool) -> int:
    from genbench.cli._run_steps import (
        execute,
        reopen_run,
        require_device,
        require_processes,
        where_it_was_planned,
    )
    from genbench.results.run_lock import hold
    from genbench.results.store import RunDirectory

    use_weights(flags["weights"])
    with (
        where_it_was_planned(RunDirectory.open(path)) as run,
        hold(run.record_path),
        executor as pool,
    ):
        pool.start()  # it imports torch while the plugins are looked at
        record, catalogue, device = reopen_run(run, flags)
        facts = require_device(pool, device, chosen=True)
        require_processes(record.cells, device, facts, record.rendezvous)
        pool.require_executable(record.cells)
        return execute(pool, run, record, catalogue, device, quiet, as_json)
