"""`genbench.measure_run`: further metrics and samplers of a finished run, from the weights that it saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from genbench.api.specs import MetricSpec
from genbench.builtin.extractors.inception_weights import at_hand
from genbench.commands.arguments import OptionValues, PluginSource, plugin_paths, request_with_options
from genbench.commands.device import require_device
from genbench.commands.execution import enter_planning_directory
from genbench.commands.load import load
from genbench.commands.preparation import choose_job_runner
from genbench.commands.results import Results
from genbench.commands.run import Progress, choose_output
from genbench.commands.weights import inception_weights
from genbench.errors import UsageError
from genbench.planning.metric_selection import MetricSelection
from genbench.planning.planner import names_in_use
from genbench.planning.request import Request
from genbench.planning.samplers import check_samplers, choose_samplers
from genbench.planning.settings import check_settings
from genbench.plugins.catalogue import LIKELIHOOD, Catalogue, discover
from genbench.plugins.chosen_metrics import options_of
from genbench.plugins.recorded_files import Allowed, files_with_metrics
from genbench.report.summary import write_summary
from genbench.results.environment_variables import require_valid
from genbench.results.run_lock import hold
from genbench.results.schema import PlannedCell, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.later_measurements import LaterMeasurements
from genbench.runner.supervisor import interrupt_on_signals
from genbench.runner.wanted_metrics import WantedMetrics


def measure_run(
    run: str | Path,
    metrics: str | Sequence[str] | None = None,
    *,
    samplers: str | Sequence[str] | None = None,
    cell: str | None = None,
    again: bool = False,
    set: OptionValues = (),
    plugins: PluginSource | Sequence[PluginSource] = (),
    trust_plugins: bool = False,
    weights: str | Path | None = None,
    in_process: bool = False,
    progress: Progress = True,
) -> Results:
    """Measure the finished cells of a run with further metrics and samplers, add the values to it, and return it.

    The samples are those that the run drew at the end of training, and those of the samplers. The reference rows are
    measured with new metrics too, and the run's tables and report are written again. What could not be measured, such
    as a cell without weights, is in `Results.problems`. Raises `UsageError` for an invalid request.

    Args:
        run: the run directory.
        metrics: metrics, as for `genbench.run`; by default, with samplers, those of each cell.
        samplers: also measure samples of these samplers, as ``["ddim:steps=10"]``.
        cell: measure one cell: its id, or any unambiguous part of it.
        again: also measure what has a value already, and replace it.
        set: options of metrics, as ``{"vendi.order": 2}``.
        plugins: plugin files, or imported modules with a file of their own.
        trust_plugins: load the plugin files that the run directory names, whoever made it: their code runs.
        weights: path of the Inception weights.
        in_process: measure in this process, so that a debugger works in the code of a metric.
        progress: whether to show progress on standard error; a function receives it line by line.
    """
    require_valid()
    request = request_with_options({"metrics": metrics, "samplers": samplers}, set)
    _require_something(request)
    files = [str(Path(file).expanduser().resolve()) for file in plugin_paths(plugins)]
    allowed, executor = Allowed(files, trust_plugins), choose_job_runner(in_process)
    output, _ = choose_output(progress, executor)
    with (
        inception_weights(None if weights is None else str(weights)),
        enter_planning_directory(RunDirectory.open_unpacked(run)) as directory,
        hold(directory.record_path),
        interrupt_on_signals(),
        executor as pool,
    ):
        pool.start()  # import torch while the plugins are loaded
        record, cells = directory.record, _cells(directory, cell)
        catalogue = _discover(record, cells, allowed, request.metrics)
        _check_samplers(request.samplers, cells, catalogue)
        device = str(record.environment.get("device") or "cpu")
        selection = MetricSelection(request.metrics or (), catalogue, device.partition(":")[0], at_hand())
        specs = _specs(selection, cells)
        check_settings(request.set, specs, catalogue)
        require_device(pool, [], device, chosen=True)
        planned = {name: values for one in cells for name, values in (one.identity.metric_options or {}).items()}
        options = options_of(specs, request.set, planned)
        wanted = WantedMetrics(catalogue, selection, options, request.samplers, again)
        later = LaterMeasurements(directory, record, cells, pool, device, wanted, output.display)
        try:
            output.display.run_started(len(cells), directory.path)
            later.execute()
        finally:
            output.display.close()
        warnings = write_summary(directory).warnings
    return load(run).with_warnings(warnings, later.problems)


def _require_something(request: Request) -> None:
    if request.metrics == ():
        raise UsageError("--metrics is empty.", "Name at least one; see `genbench list metrics`.", code="GB102")
    if request.metrics is None and not request.samplers:
        raise UsageError(
            "There is nothing to measure.",
            "Name metrics with --metrics, or samplers with --samplers, or both.",
            code="GB102",
        )
    if request.metrics is None and request.set:
        raise UsageError(
            "--set needs --metrics.",
            "Name the metrics; without --metrics, they keep their earlier options.",
            code="GB104",
        )


def _cells(directory: RunDirectory, part: str | None) -> list[PlannedCell]:
    """Return the cells to measure."""
    if part is None:
        return directory.record.cells
    cell = directory.find_cell(part)
    if cell.reason:
        raise UsageError(f"{cell.id} has been skipped: {cell.reason}", "Choose another cell.", code="GB605")
    return [cell]


def _specs(selection: MetricSelection, cells: Sequence[PlannedCell]) -> list[MetricSpec]:
    """Return the metrics that were asked for on the datasets of all cells, each once."""
    known = selection.catalogue.datasets
    of = [
        (known[cell.identity.dataset.name].spec, cell.identity.image_shape)
        for cell in cells
        if cell.identity.dataset.name in known
    ]
    return list({spec.name: spec for one in of for spec in selection.of_dataset(*one)}.values())


def _discover(
    record: RunRecord, cells: Sequence[PlannedCell], allowed: Allowed, metrics: Sequence[str] | None
) -> Catalogue:
    """Return the catalogue with the named plugin files; with those of the run only if a cell or a metric needs them."""
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
    names = sorted({cell.identity.family.name for cell in cells} & {*catalogue.families})
    families = [catalogue.families[name].spec for name in names]
    check_samplers(texts, families)
    for family in families:
        choose_samplers(texts, family)
