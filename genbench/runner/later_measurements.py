"""Measuring further metrics of the finished cells of a run, each in a worker, and adding them to the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from genbench import __version__
from genbench.errors import GenbenchError, NoDataError
from genbench.measure import machine
from genbench.planning.identity import metric_origins
from genbench.planning.planner import names_in_use, plan_references, plugins_behind
from genbench.plugins.loader import Kind
from genbench.plugins.metric_names import covers
from genbench.process.messages import Activity, Finished, Job, Message, MetricValues
from genbench.results.cell_names import shown_names
from genbench.results.later_values import add_reference_values, add_values
from genbench.results.schema import (
    CellIdentity,
    CellResult,
    ChosenSampler,
    LaterMeasurement,
    PlannedCell,
    PlannedReference,
    ReferenceResult,
    RunRecord,
)
from genbench.results.store import RunDirectory
from genbench.runner import log_file
from genbench.runner.earlier_values import EarlierValues
from genbench.runner.job_runner import JobRunner
from genbench.runner.supervisor import Display
from genbench.runner.wanted_metrics import Options, Pending, WantedMetrics


@dataclass
class LaterMeasurements:
    """Measures metrics of cells that have weights, on samples of their family's own way of drawing and of samplers."""

    run: RunDirectory
    record: RunRecord
    cells: Sequence[PlannedCell]  # of the record
    executor: JobRunner
    device: str
    wanted: WantedMetrics
    display: Display
    problems: list[str] = field(default_factory=list)  # what could not be measured, with the reason

    def execute(self) -> None:
        """Measure the cells, then the reference rows of their datasets; each result is written when it is complete."""
        cells, names = [cell for cell in self.cells if not cell.reason], shown_names(self.record.cells)
        files, with_values = self.run.read_cells(), list[PlannedCell]()
        for index, cell in enumerate(cells, start=1):
            title = f"[{index}/{len(cells)}] {names[cell.id]}"
            try:
                if cell.id in files.damaged:
                    raise NoDataError(f"its result is damaged: {files.damaged[cell.id]}", code="GB703")
                with_values += self._measure_cell(cell, files.results.get(cell.id), title)
            except GenbenchError as error:
                self._report(f"{title}: {error.cause}")
        measured = self.run.read_references().results
        for reference in plan_references(with_values):
            self._measure_reference(reference, measured.get(reference.id))

    def _measure_cell(self, cell: PlannedCell, result: CellResult | None, title: str) -> list[PlannedCell]:
        """Measure a cell; return it as if it had been planned with these metrics, or nothing if it has no values."""
        if result is None or not self.run.checkpoint_path(cell.id).is_file():
            status = "it has not been run" if result is None else f"its status is '{result.status}'"
            self._report(f"{title}: it has no weights; {status}")
            return []
        families, datasets = self.wanted.catalogue.families, self.wanted.catalogue.datasets
        if cell.identity.family.name not in families or cell.identity.dataset.name not in datasets:
            for kind, name in names_in_use(msgspec.structs.replace(cell.identity, metrics=())):
                self.wanted.catalogue.require(kind, name)  # raises why
        family, dataset = families[cell.identity.family.name].spec, datasets[cell.identity.dataset.name].spec
        pending = self.wanted.pending(EarlierValues(cell, result), family, dataset)
        for remark in pending.remarks:
            self.display.message(f"{title}: {remark}")
        if pending.missing:
            what = ", ".join(pending.missing)
            self._report(f"{title}: {what} is not installed; name its file with --plugin, or others with --metrics")
        if pending.names and not self._measure_pending(pending, title):
            return []
        names = pending.applicable
        return [self._with_metrics(cell, names, self.wanted.options)] if names else []

    def _measure_pending(self, pending: Pending, title: str) -> bool:
        """Measure a cell and write its result; return whether that was possible."""
        before = pending.before
        planned = self._with_metrics(before.planned, pending.names, pending.options)
        finished, why = self._run(
            title,
            names_in_use(planned.identity),
            self.run.log_path(planned.id),
            task="measure",
            cell=before.planned,
            metrics=pending.metrics,
            by_sampler=pending.by_sampler,
            metric_options=planned.identity.metric_options or {},
        )
        if finished is None or finished.values is None:
            self._report(f"{title}: {why}")
            return False
        found = finished.values
        self.run.write_cell(self._with_values(pending, planned.identity, found))
        for missing in [*found.unavailable, *(missing for one in found.by_sampler for missing in one.unavailable)]:
            (self._report if missing.failed else self.display.message)(f"{title}: {missing.metric}: {missing.reason}")
        return True

    def _with_values(self, pending: Pending, identity: CellIdentity, found: MetricValues) -> CellResult:
        """Return the result of a cell with what was found."""
        result = pending.before.result
        if pending.metrics:
            later = self._provenance(pending.metrics, identity, found.notes)
            result = add_values(result, found.estimates, found.unavailable, later, self.wanted.again)
        for asked, values in zip(pending.by_sampler, found.by_sampler, strict=True):
            later = self._provenance(asked.metrics, identity, found.notes, asked.sampler)
            result = add_values(result, values.estimates, values.unavailable, later, self.wanted.again)
            speed, known = values.samples_per_second, result.sampler_speeds
            if speed is not None and (self.wanted.again or asked.sampler.label not in known):
                counts, label = result.sampler_evaluations, asked.sampler.label
                if values.evaluations_per_sample is not None:
                    counts = {**counts, label: values.evaluations_per_sample}
                speeds = {**known, label: speed}
                result = msgspec.structs.replace(result, sampler_speeds=speeds, sampler_evaluations=counts)
        return result

    def _measure_reference(self, planned: PlannedReference, before: ReferenceResult | None) -> None:
        """Measure what the reference rows of a dataset lack; without them, all metrics of its cells."""
        asked = {*(one for each in self.record.references if each.id == planned.id for one in each.metrics)}
        asked |= {one for later in (before.measured_later if before else []) for one in later.metrics}
        missing = [one.metric for row in (before.rows if before else []) for one in row.unavailable]
        specs = [self.wanted.catalogue.metrics[name].spec for name in planned.metrics]
        lacking = {spec.name for spec in specs if any(covers(spec, name) for name in missing)}
        every = self.wanted.again or before is None
        names = tuple(name for name in planned.metrics if every or name not in asked or name in lacking)
        if not names:
            return
        self.display.message(f"measuring real held-out images and noise of {planned.dataset.name}")
        planned = msgspec.structs.replace(planned, metrics=names)
        used: list[tuple[Kind, str]] = [("datasets", planned.dataset.name), *(("metrics", name) for name in names)]
        log = self.run.log_path(f"reference-{planned.id}")
        finished, why = self._run("", used, log, task="reference", reference=planned)
        if finished is None or finished.reference is None:
            self._report(f"no reference rows for {planned.dataset.name}: {why}")
            return
        found, later = finished.reference, self._provenance(names, planned, [])
        if before is None:
            result = msgspec.structs.replace(found, measured_later=[later])
        elif before.data_hash and before.data_hash != found.data_hash:
            self._report(f"no reference rows for {planned.dataset.name}: its images have changed")
            return
        else:
            result = add_reference_values(before, found, later, self.wanted.again)
        self.run.write_reference(result)

    def _with_metrics(self, cell: PlannedCell, names: Sequence[str], options: Options) -> PlannedCell:
        """Return the cell as if it had been planned with these metrics."""
        identity = msgspec.structs.replace(
            cell.identity,
            metrics=tuple(names),
            metric_origins=metric_origins(names, self.wanted.catalogue) or UNSET,
            metric_options={name: {**options[name]} for name in names if name in options} or UNSET,
        )
        return msgspec.structs.replace(cell, identity=identity)

    def _provenance(
        self,
        names: Sequence[str],
        of: CellIdentity | PlannedReference,
        notes: list[str],
        sampler: ChosenSampler | UnsetType = UNSET,
    ) -> LaterMeasurement:
        return LaterMeasurement(
            metrics=[*names],
            sampler=sampler,
            measured=datetime.now(UTC).isoformat(timespec="seconds"),
            genbench=__version__,
            metric_origins={
                key: origin for key, origin in (of.metric_origins or {}).items() if key.partition(":")[0] in names
            },
            metric_options={name: values for name, values in (of.metric_options or {}).items() if name in names},
            versions=machine.versions(),
            notes=notes,
        )

    def _run(
        self, title: str, names: Sequence[tuple[Kind, str]], log: Path, **fields: Any
    ) -> tuple[Finished | None, str]:
        """Run a job, and show what it does; return its result, and why there is none."""

        def show(message: Message) -> None:
            if isinstance(message, Activity):
                self.display.cell_activity("", f"{title}: {message.text}" if title and message.text else message.text)

        job = Job(
            run=str(self.run.path),
            log=str(log),
            plugins=[dataclasses.asdict(plugin) for plugin in plugins_behind(self.wanted.catalogue, names)],
            device=self.device,
            threads=self.record.threads or machine.default_threads(),
            memory_limit=self.record.memory_limit,
            **fields,
        )
        worker_exit = self.executor.run(job, show, self.record.timeout)
        self.display.cell_activity("", "")
        if self.executor.stop_requested:
            raise KeyboardInterrupt
        log_file.shorten(log)
        why = f"not done within {self.record.timeout:g} s" if worker_exit.timed_out else worker_exit.describe()
        return worker_exit.finished, f"{why}; see {log}"

    def _report(self, problem: str) -> None:
        self.problems.append(problem)
