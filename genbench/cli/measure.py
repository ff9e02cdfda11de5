"""`genbench measure`: measure further metrics of finished runs, from the weights that they saved."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli.flags import (
    as_json_flag,
    plugin_files,
    quiet_option,
    set_option,
    trust_plugins_flag,
    weights_flag,
)
from genbench.cli.output import echo, record_exit_code
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.plugins.catalogue import Catalogue
    from genbench.plugins.recorded_files import Allowed
    from genbench.results.schema import RunRecord


@click.command("measure")
@click.argument("run", type=click.Path())
@click.option("--metrics", required=True, metavar="A,B,…", help="Metrics, as for `genbench run`.")
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
    metrics: str,
    again: bool,
    settings: tuple[str, ...],
    plugins: tuple[str, ...],
    trust_plugins: bool,
    weights: str | None,
    in_process: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Measure metrics of the finished cells of RUN from their weights; add them to its results.

    The samples are those that the run drew at the end of training. The reference rows are measured too.

    \b
    genbench measure results/first --metrics kd,prdc
    genbench measure results/first --metrics vendi --plugin vendi.py --set vendi.order=2
    """
    from genbench.commands.device import require_device
    from genbench.commands.execution import enter_planning_directory
    from genbench.commands.preparation import choose_executor
    from genbench.commands.weights import inception_weights
    from genbench.planning.metric_selection import named_metrics
    from genbench.planning.request import make_request
    from genbench.planning.settings import check_settings
    from genbench.plugins.chosen_metrics import options_of
    from genbench.plugins.recorded_files import Allowed
    from genbench.report.summary import write_summary
    from genbench.report.table.layout import clean
    from genbench.report.table.render import render
    from genbench.results.environment_variables import require_valid
    from genbench.results.run_lock import hold
    from genbench.results.store import RunDirectory
    from genbench.runner.later_measurements import LaterMeasurements
    from genbench.runner.supervisor import interrupt_on_signals

    require_valid()
    request = make_request({"metrics": metrics}, settings)
    if not request.metrics:
        raise UsageError("--metrics is empty.", "Name at least one; see `genbench list metrics`.")
    allowed = Allowed([str(Path(file).expanduser().resolve()) for file in plugins], trust_plugins)
    executor = choose_executor(in_process, debugger=False)
    with (
        inception_weights(weights),
        enter_planning_directory(RunDirectory.open(run)) as directory,
        hold(directory.record_path),
        interrupt_on_signals(),
        executor as pool,
    ):
        pool.start()  # import torch while the plugins are loaded
        record = directory.record
        catalogue = _discover(record, allowed, request.metrics)
        specs = named_metrics(request.metrics, catalogue)
        check_settings(request.set, specs, catalogue)
        device = str(record.environment.get("device") or "cpu")
        require_device(pool, [], device, chosen=True)
        say = partial(_say, quiet=quiet)
        planned = {k: v for cell in record.cells for k, v in (cell.identity.metric_options or {}).items()}
        options = options_of(specs, request.set, planned)
        later = LaterMeasurements(directory, record, catalogue, pool, device, specs, options, again, say)
        later.execute()
    summary = write_summary(directory)
    for problem in later.problems:
        echo(f"Failed: {clean(problem, 2000)}", err=True)
    for warning in summary.warnings:
        echo(f"Warning: {warning}", err=True)
    code = ExitCode.FAILED_CELLS if later.problems else ExitCode.OK
    record_exit_code(code)
    echo(render(summary.table, "json" if as_json else "plain"), nl=False, as_json=as_json)
    return code


def _discover(record: RunRecord, allowed: Allowed, metrics: Sequence[str]) -> Catalogue:
    """Return the catalogue with the named plugin files; with those of the run only if a cell or a metric needs them."""
    import msgspec

    from genbench.planning.planner import names_in_use
    from genbench.plugins.catalogue import LIKELIHOOD, discover
    from genbench.plugins.recorded_files import files_with_metrics

    known = discover(allowed.given)
    asked = tuple(name for name in metrics if name != LIKELIHOOD)
    identities = [msgspec.structs.replace(cell.identity, metrics=asked) for cell in record.cells]
    if all(name in known.entries(kind) for identity in identities for kind, name in names_in_use(identity)):
        return known
    return discover(files_with_metrics(record, allowed))


def _say(text: str, quiet: bool) -> None:
    from genbench.report.table.layout import clean

    if not quiet:
        echo(clean(text, 2000), err=True)
