"""`genbench tune`: equally many trials for every model, then the best settings of each with fresh seeds."""

from __future__ import annotations

import sys
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
    threads_option,
    trust_plugins_flag,
    weights_flag,
)
from genbench.cli.output import echo, print_json, record_exit_code
from genbench.errors import ExitCode, UsageError
from genbench.planning.profiles import PROFILES

if TYPE_CHECKING:
    from genbench.commands.tuning.tuning import Tuning

_SEARCH = ("trials", "metric", "sampler", "pruner", "seed", "final_seeds")
_CHANGED_BY_RESUME = ("timeout", "memory_limit", "threads", "weights", "plugins")


@click.command("tune")
@selection_options()
@click.option("--search", type=click.Path(), metavar="SPACE.toml", help="The search space: what trials may try.")
@click.option("--trials", type=int, metavar="N", help="Trials of each model. [default: 20]")
@click.option("--metric", metavar="NAME", help="Metric to tune, on the validation split. [default: the usual distance]")
@click.option("--sampler", metavar="NAME", help="random or tpe; only random gives an interval. [default: random]")
@click.option(
    "--pruner",
    metavar="NAME",
    help="none, or halving: all trials get a ninth of the budget, the best third a third, the best ninth all of it. "
    "[default: none]",
)
@click.option("--seed", type=int, metavar="N", help="Seed of the search; trial i trains with N + i. [default: 0]")
@click.option(
    "--final-seeds", type=int, metavar="N", help="Fresh seeds for the best settings of each model. [default: 3]"
)
@click.option("--metrics", metavar="A,B,…", help="Metrics of the final cells. [default: all default metrics]")
@device_option("auto", configurable=True)
@click.option("--profile", metavar="NAME", help=f"Budget of a trial: {', '.join(PROFILES)}. [default: quick]")
@set_option("a model, loss, dataset or metric, or a recipe field of one model, in every trial")
@config_option
@plugin_files
@weights_flag
@click.option("--out", type=click.Path(), metavar="DIR", help="Directory. [default: results/TIME-tune-MODELS]")
@click.option("--resume", type=click.Path(), metavar="DIR", help="Continue an interrupted tuning.")
@click.option(
    "--timeout", type=float, metavar="SECONDS", help="Time limit per cell; 0: no limit. [default: the profile's]"
)
@click.option(
    "--memory-limit", type=float, metavar="GIB", help="Memory limit per cell. [default: nine tenths of free memory]"
)
@threads_option
@click.option("--dry-run", is_flag=True, help="Print what would be tried and what it would cost; do not train.")
@trust_plugins_flag
@quiet_option("failures and the summary")
@as_json_flag
@recipe_flags
def command(
    search: str | None,
    settings: tuple[str, ...],
    config: str | None,
    resume: str | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    trust_plugins: bool,
    **flags: Any,
) -> int:
    """Tune models with the same number of trials and images for each, so that none wins by more tuning.

    Trials are measured on the validation split. The best settings of each model are then trained again with fresh
    seeds: a run in DIR/final, whose table is the one to publish. Needs Optuna: pip install 'genbench[tune]'.

    \b
    genbench tune --models gan,dcgan --search space.toml --trials 20 --out results/tuned
    genbench tune --resume results/tuned
    genbench figure results/tuned --kind tuning --out tuning.pdf
    """
    from genbench.commands.execution import Output
    from genbench.commands.preparation import choose_job_runner
    from genbench.commands.tuning.asked import Asked, read_search
    from genbench.commands.tuning.cost import tuning_cost
    from genbench.commands.tuning.trials import continue_tuning, start_tuning
    from genbench.planning.request import make_request, read_config
    from genbench.plugins.recorded_files import Allowed
    from genbench.report.progress import choose_display

    flags["plugins"] = list(flags["plugins"]) or None
    executor = choose_job_runner(False)
    output = Output(choose_display(quiet=quiet), partial(echo, err=True))
    if resume is not None:
        from pathlib import Path

        _require_resumable(
            {**flags, "search": search, "config": config, "set": settings or None, "dry_run": dry_run or None}
        )
        limits = {name: flags[name] for name in ("timeout", "memory_limit", "threads")}
        allowed = Allowed([str(Path(file).resolve()) for file in flags["plugins"] or ()], trust_plugins)
        return _report(continue_tuning(Path(resume), executor, output, limits, allowed, flags["weights"]), as_json)
    if trust_plugins:
        raise UsageError(
            "--trust-plugins concerns the plugin files of an existing tuning.", "Use it with --resume.", code="GB104"
        )
    how = {name: value for name in _SEARCH if (value := flags.pop(name)) is not None}
    merged = {**(read_config(config) if config else {})}
    merged.update({name: value for name, value in flags.items() if value is not None})
    content, source = read_search(search)
    asked = Asked(make_request(merged, settings), content, source, **how)
    if dry_run:
        cost = tuning_cost(asked, executor, output)
        if as_json:
            print_json(cost.data())
        else:
            echo(cost.text(), nl=False)
        return ExitCode.FAILED_CELLS if cost.failing else ExitCode.OK
    return _report(start_tuning(asked, executor, output, ["genbench", *sys.argv[1:]]), as_json)


def _require_resumable(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value is not None and name not in _CHANGED_BY_RESUME:
            raise UsageError(
                f"--resume continues a fixed tuning; --{name.replace('_', '-')} cannot change it.",
                "Remove it, or start a new tuning.",
                code="GB108",
            )


def _report(tuning: Tuning, as_json: bool) -> int:
    code = ExitCode.OK if tuning.succeeded else ExitCode.FAILED_CELLS
    record_exit_code(code)
    if as_json:
        print_json(tuning.record)
    else:
        echo(tuning.text(), nl=False)
        echo(f"\nTable, report and best settings: {tuning.path}", err=True)
    return code
