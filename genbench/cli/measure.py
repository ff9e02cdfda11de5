"""`genbench measure`: measure finished runs with further metrics and samplers, from the weights that they saved."""

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
from genbench.cli.output import echo, line_width, record_exit_code
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.planning.request import Request
    from genbench.plugins.catalogue import Catalogue
    from genbench.plugins.recorded_files import Allowed
    from genbench.results.schema import PlannedCell, RunRecord
    from genbench.results.store import RunDirectory


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
    genbench measure results/first --metrics vendi --plugin vendi.py --set vendi.order=2
    genbench measure results/first --samplers ddim:steps=10,truncated:psi=0.7
    """
    from genbench.commands.device import require_device
    from genbench.commands.execution import enter_planning_directory
    from genbench.commands.preparation import choose_job_runner
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
    from genbench.runner.wanted_metrics import WantedMetrics

    require_valid()
    request = make_request({"metrics": metrics, "samplers": samplers}, settings)
    _require_something(request)
    allowed = Allowed([str(Path(file).expanduser().resolve()) for file in plugins], trust_plugins)
    executor = choose_job_runner(in_process, debugger=False)
    with (
        inception_weights(weights),
        enter_planning_directory(RunDirectory.open_unpacked(run)) as directory,
        hold(directory.record_path),
        interrupt_on_signals(),
        executor as pool,
    ):
        pool.start()  # import torch while the plugins are loaded
        record, cells = directory.record, _cells(directory, part)
        catalogue = _discover(record, cells, allowed, request.metrics)
        _check_samplers(request.samplers, cells, catalogue)
        specs = named_metrics(request.metrics or (), catalogue)
        check_settings(request.set, specs, catalogue)
        device = str(record.environment.get("device") or "cpu")
        require_device(pool, [], device, chosen=True)
        say = partial(_say, quiet=quiet)
        planned = {k: v for cell in cells for k, v in (cell.identity.metric_options or {}).items()}
        options = options_of(specs, request.set, planned)
        wanted = WantedMetrics(catalogue, specs, options, request.samplers, again)
        later = LaterMeasurements(directory, record, cells, pool, device, wanted, say)
        later.execute()
    summary = write_summary(directory)
    for problem in later.problems:
        echo(f"Failed: {clean(problem, 2000)}", err=True)
    for warning in summary.warnings:
        echo(f"Warning: {warning}", err=True)
    code = ExitCode.FAILED_CELLS if later.problems else ExitCode.OK
    record_exit_code(code)
    text = render(summary.table, "json" if as_json else "plain", width=line_width())
    echo(text, nl=False, as_json=as_json)
    return code


def _require_something(request: Request) -> None:
    if request.metrics == ():
        raise UsageError("--metrics is empty.", "Name at least one; see `genbench list metrics`.")
    if request.metrics is None and not request.samplers:
        raise UsageError(
            "There is nothing to measure.", "Name metrics with --metrics, or samplers with --samplers, or both."
        )
    if request.metrics is None and request.set:
        raise UsageError(
            "--set needs --metrics.", "Name the metrics; without --metrics, they keep their earlier options."
        )


def _cells(directory: RunDirectory, part: str | None) -> list[PlannedCell]:
    """Return the cells to measure."""
    if part is None:
        return directory.record.cells
    cell = directory.find_cell(part)
    if cell.reason:
        raise UsageError(f"{cell.id} has been skipped: {cell.reason}", "Choose another cell.")
    return [cell]


def _discover(
    record: RunRecord, cells: Sequence[PlannedCell], allowed: Allowed, metrics: Sequence[str] | None
) -> Catalogue:
    """Return the catalogue with the named plugin files; with those of the run only if a cell or a metric needs them."""
    import msgspec

    from genbench.planning.planner import names_in_use
    from genbench.plugins.catalogue import LIKELIHOOD, discover
    from genbench.plugins.recorded_files import files_with_metrics

    known = discover(allowed.given)
    identities = [cell.identity for cell in cells]
    if metrics is not None:
        asked = tuple(name for name in metrics if name != LIKELIHOOD)
        identities = [msgspec.structs.replace(identity, metrics=asked) for identity in identities]
    if all(name in known.entries(kind) for identity in identities for kind, name in names_in_use(identity)):
        return known
    return discover(files_with_metrics(record, allowed))


def _check_samplers(texts: Sequence[str], cells: Sequence[PlannedCell], catalogue: Catalogue) -> None:
    """Raise `UsageError` for a sampler that no cell's family has, or whose options one of them does not take."""
    from genbench.planning.samplers import check_samplers, choose_samplers

    names = sorted({cell.identity.family.name for cell in cells} & {*catalogue.families})
    families = [catalogue.families[name].spec for name in names]
    check_samplers(texts, families)
    for family in families:
        choose_samplers(texts, family)


def _say(text: str, quiet: bool) -> None:
    from genbench.report.table.layout import clean

    if not quiet:
        echo(clean(text, 2000), err=True)
