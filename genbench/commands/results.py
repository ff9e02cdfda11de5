"""The results of one or more runs: cells to filter, pool and compare, as tables, data frames and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from genbench.api.options import OptionValue
from genbench.commands.cell import Cell
from genbench.commands.comparisons.baseline import BaselineUpdate, update_baseline
from genbench.commands.comparisons.history import History, history_of
from genbench.commands.comparisons.judgement import Judgement, check_run
from genbench.commands.comparisons.seeds import (
    CellComparison,
    MethodComparison,
    PowerForecast,
    compare_cells,
    compare_methods,
    forecast_power,
)
from genbench.commands.details import RunDetails, run_details
from genbench.commands.frames import Layout, as_pandas, as_polars, make_frame
from genbench.commands.selection import matches
from genbench.commands.table import ComparisonTable
from genbench.errors import UsageError, near_miss
from genbench.planning.request import parse_target
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure
from genbench.report.figures.kinds import Shown, figure_of_runs
from genbench.report.figures.options import Options
from genbench.report.html.paged_report import write_report
from genbench.report.run_details import damaged_files, describe_cell, describe_run
from genbench.report.summary import write_summary
from genbench.report.table.comparability import SPEED_COLUMNS, comparable_groups
from genbench.report.table.comparison_table import table_of_cells
from genbench.report.table.layout import Column, Row, Table
from genbench.report.table.outcome import CellOutcome, outcomes_of
from genbench.report.table.render import require_columns
from genbench.report.table.targets import find_targets
from genbench.results.cell_names import shown_names
from genbench.results.store import LoadedRun, RunContents, RunDirectory, without_cells

if TYPE_CHECKING:  # strict checks of a plugin follow these imports: pandas has no types, and both may be missing
    import pandas  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import polars  # type: ignore[import-not-found, unused-ignore]


class WrittenFiles(NamedTuple):
    """The files for readers that were written again, and why others could not be."""

    paths: tuple[Path, ...]
    problems: tuple[str, ...]


class Quantity(NamedTuple):
    """A measured quantity over seeds."""

    value: float
    standard_error: float | None  # over seeds; of a single seed, that of the sampling


@dataclass(frozen=True, eq=False)
class PooledCells:
    """Cells that differ only in the seed, and the means of what they measured."""

    cells: tuple[Cell, ...]
    settings: Mapping[str, OptionValue]  # what they share
    seeds: int  # how many count: those that ended as ok or collapsed
    values: Mapping[str, Quantity]  # by the name of the column

    def __repr__(self) -> str:
        return f"<PooledCells {self.cells[0].model}: {len(self.cells)} cells>"


class Results:
    """Every planned cell of some runs, whatever became of it; read-only.

    Shown in a notebook, it is the comparison table.
    """

    def __init__(
        self,
        runs: Sequence[LoadedRun],
        cells: Sequence[Cell] | None = None,
        warnings: Sequence[str] = (),
        problems: Sequence[str] = (),
    ):
        self._runs = tuple(runs)
        self._cells = tuple(_cells(runs) if cells is None else cells)
        self._warnings = tuple(warnings)
        self._problems = tuple(problems)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells in the order of their plans, also those that have not run or are damaged."""
        return self._cells

    @property
    def warnings(self) -> tuple[str, ...]:
        """What `genbench.run` and `measure_run` have to say about the plan and the files that they wrote."""
        return self._warnings

    @property
    def problems(self) -> tuple[str, ...]:
        """What `genbench.measure_run` could not measure, with the reason."""
        return self._problems

    @property
    def runs(self) -> tuple[RunDirectory, ...]:
        """The run directories."""
        return tuple(run.directory for run in self._runs)

    @property
    def damaged(self) -> dict[str, str]:
        """Files, and entries of plans, that could not be read, with the reason."""
        return {
            directory.shown(directory.path / name): why
            for directory, contents in self._runs
            for name, why in damaged_files(contents).items()
        }

    @property
    def succeeded(self) -> bool:
        """Whether every cell is ``ok``, or ``skipped`` because it is impossible, and no metric failed."""
        failed = any(missing.failed for cell in self._cells for missing in cell.unavailable)
        return not failed and all(cell.status in ("ok", "skipped") for cell in self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def cell(self, part: str) -> Cell:
        """Return the only cell with this id, model or variant, or else with this text in its id.

        Raises `UsageError` if there is none, or several.
        """
        exact = [cell for cell in self._cells if cell.id == part]
        named = [cell for cell in self._cells if part in (cell.model, cell.variant)]
        found = exact or named or [cell for cell in self._cells if part in cell.id]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"'{part}' matches {len(found)} cells.",
                f"They are: {', '.join(cell.name for cell in found)}.",
                code="GB107",
            )
        names = list(dict.fromkeys(cell.model for cell in self._cells))
        raise UsageError(
            f"No cell matches '{part}'.{near_miss(part, names)}", f"Models: {', '.join(names)}.", code="GB708"
        )

    def where(self, settings: Mapping[str, Any] | None = None, /, **more: Any) -> Results:
        """Return the cells with these settings; a list of values means any of them.

        Names are those of the table and its CSV: ``model``, ``status``, ``seed``, every recipe field and option. In a
        keyword, an underscore stands for a space, dot or hyphen; ``where({"dcgan.width": 32})`` takes a name as it is.
        Raises `UsageError` with the nearest name where no cell has such a setting.
        """
        wanted = {**(settings or {}), **more}
        if not wanted:
            return self
        return self._subset(
            [cell for cell, fits in zip(self._cells, matches(self._cells, wanted), strict=True) if fits]
        )

    def comparable(self, quantity: str) -> tuple[Results, ...]:
        """Return the cells in groups within which a quantity may be compared.

        Metrics compare on the same pixels and under the same protocol; speed, memory and time on the same machine with
        the same software. A cell without the quantity is in no group. Raises `UsageError` for an unknown quantity.

        Args:
            quantity: a metric, or a column such as ``images/s``, ``peak memory`` or ``time``.
        """
        metrics = {name for cell in self._cells for name in cell.outcome.estimates}
        if quantity not in (*metrics, *SPEED_COLUMNS):
            known = [*sorted(metrics), *SPEED_COLUMNS]
            raise UsageError(
                f"No cell has measured '{quantity}'.{near_miss(quantity, known)}",
                f"Choose from: {', '.join(known)}.",
                code="GB602",
            )
        cell_of = {cell.outcome: cell for cell in self._cells}
        groups = comparable_groups(cell_of, quantity)
        return tuple(self._subset([cell_of[outcome] for outcome in group]) for group in groups)

    def pooled(self) -> tuple[PooledCells, ...]:
        """Return one record for cells that differ only in the seed: means and standard errors of what they measured."""
        table = self._table(over_seeds=True)
        cell_of = {cell.outcome: cell for cell in self._cells}
        return tuple(_pooled(row, table.columns, cell_of) for row in table.rows if row.kind == "cell")

    def table(
        self,
        columns: Sequence[str] | None = None,
        sort: str | None = None,
        *,
        over_seeds: bool | None = None,
        targets: Mapping[str, float] | Sequence[str] = (),
        references: bool = True,
        letters: bool = False,
    ) -> ComparisonTable:
        """Return the comparison table, as `genbench table` makes it.

        Raises `UsageError` with the nearest name for an unknown column or metric.

        Args:
            columns: names of columns in the desired order; by default, what differs between the rows.
            sort: a column; with a leading ``-``, largest first.
            over_seeds: one row for cells that differ only in the seed; by default, if there are such.
            targets: values of metrics to reach, as ``{"fd-fashion-cnn": 40}`` or ``["fd-fashion-cnn=40"]``.
            references: with the rows of a perfect generator, of real held-out images, and of noise.
            letters: with the letters of significance groups behind metrics over seeds, as `genbench compare` has them.
        """
        made = self._table(over_seeds, targets, references, letters)
        shown = ComparisonTable(made, sort, None if columns is None else tuple(columns))
        require_columns(made, sort, columns)  # here, not where it is printed
        return shown

    def report(self, path: str | Path) -> Path:
        """Write the cells as one interactive HTML page that needs no network, and return its path.

        Of more than 300 cells, it is an index, with pages in a folder beside it. An existing file is replaced.
        Raises `UsageError` if a file cannot be written.
        """
        file = Path(path)
        try:
            write_report(file, self._runs, {(cell.run, cell.id) for cell in self._cells})
        except OSError as error:
            raise UsageError(
                f"{file} cannot be written: {error.strerror or error}.",
                "Name a file in a folder that exists.",
                code="GB702",
            ) from error
        return file

    def rewrite_report(self) -> WrittenFiles:
        """Write table.md, table.csv, report.html and the contact sheet of the run again, from its stored results.

        Always about the whole run. Raises `UsageError` for several runs, and for an archive.
        """
        directory, _ = self._only_run("share no report.html", "Name a file for it: --out comparison.html.")
        if directory.archive is not None:
            cure = "Name a file to write: --out report.html."
            raise UsageError(f"{directory.archive.path} is an archive, which can only be read.", cure, code="GB702")
        summary = write_summary(directory)
        return WrittenFiles(tuple(summary.written), tuple(summary.warnings))

    def details(self, cell: str | None = None, *, cells: bool | None = None) -> RunDetails:
        """Return the plan of the run, the status of every cell and its files, or one cell in detail.

        Raises `UsageError` for several runs, and for an unknown cell; and `NoDataError` for a run without cells.

        Args:
            cell: the id of a cell, or any unambiguous part of it.
            cells: whether every cell is listed, or only counted by status; by default, up to 300 are listed.
        """
        directory, _ = self._only_run("cannot be shown together", "Load one run.")
        return run_details(directory, self._own_contents()[0], cell, cells)

    def compare(self, metric: str | Sequence[str] | None = None) -> CellComparison:
        """Compare the cells over seeds: which one is better, by how much, and whether the difference is real.

        As `genbench compare RUN`. Raises `UsageError` for an unknown metric, and `NoDataError` if none was measured.

        Args:
            metric: one or more metrics, or ``all``; by default ``fid``, or the first distance.
        """
        return compare_cells(self._own_contents(), metric)

    def compare_over_datasets(self, metric: str | None = None) -> MethodComparison:
        """Rank the methods over the datasets of all runs by one metric, as `genbench compare --over-datasets`.

        Raises the errors of `compare`, and `NoDataError` for fewer than two methods or datasets.
        """
        return compare_methods(self._own_contents(), metric)

    def power(
        self,
        detect: str | float,
        *,
        metric: str | None = None,
        models: str | Sequence[str] | None = None,
        error: str | float = "5%",
        power: str | float = "80%",
    ) -> PowerForecast:
        """Forecast what it takes to see a difference between the cells, from how much their seeds differ.

        As `genbench power`. Raises the errors of `compare`.

        Args:
            detect: the difference to be seen, such as ``"5%"`` of the mean, or 0.05.
            metric: the metric; by default ``fid``, or the first distance.
            models: only the cells of these models.
            error: probability of any false difference.
            power: probability of seeing a true difference.
        """
        return forecast_power(self._own_contents(), detect, metric, models, error, power)

    def history(self, quantity: str | Sequence[str] = ()) -> History:
        """Return throughput and metrics of the runs in order of time, and where their level changed.

        As `genbench history`; it never judges. Raises `UsageError` with the nearest name for an unknown quantity, and
        `NoDataError` if there are no measurements.

        Args:
            quantity: ``throughput`` or metrics; by default all.
        """
        return history_of(self._own_contents(), self._shown_runs(), quantity)

    def check(
        self, baseline: str | Path, *, config: str | Path | None = None, max_slowdown: str | float | None = None
    ) -> Judgement:
        """Check the run against a baseline: counters exactly, speed and quality within their limits.

        As `genbench check`. Raises `UsageError` for several runs, and for a file that cannot be read.

        Args:
            baseline: the file that `update_baseline` writes.
            config: a TOML file with limits in ``[gate]``.
            max_slowdown: largest loss of throughput that passes, such as ``"5%"``; by default, speed is not judged.
        """
        self._only_run("cannot be checked at once", "Check them one by one.")
        return check_run(self._own_contents()[0], baseline, config, max_slowdown)

    def update_baseline(
        self, baseline: str | Path, *, only: bool = False, counters_only: bool = False
    ) -> BaselineUpdate:
        """Write the measurements of the run to a baseline file; cells that the run does not have stay unchanged.

        As `genbench baseline update`. Raises `UsageError` for several runs, and for a file that cannot be read or
        written; and `NoDataError` if no cell has measurements.

        Args:
            baseline: the file, meant to be committed.
            only: drop cells of the file that the run does not have.
            counters_only: store counters only, which depend on the torch version alone.
        """
        self._only_run("do not belong into one baseline", "Update it with one run.")
        return update_baseline(self._own_contents()[0], self._shown_runs()[0], baseline, only, counters_only)

    def to_pandas(self, layout: Layout = "wide") -> pandas.DataFrame:
        """Return a data frame of pandas; ``docs/python.md`` lists the columns of each layout with their types.

        Raises `UsageError` if pandas is not installed.

        Args:
            layout: ``wide``: one row per cell; ``long``: one row per cell and quantity; ``curves``, ``evaluations`` or
                ``windows``: one row per point of them.
        """
        return as_pandas(make_frame(self._cells, self._table(over_seeds=False), layout))

    def to_polars(self, layout: Layout = "wide") -> polars.DataFrame:
        """Return a data frame of polars, with the columns of `to_pandas`; raise `UsageError` without polars."""
        return as_polars(make_frame(self._cells, self._table(over_seeds=False), layout))

    def to_json(self) -> str:
        """Return everything that is stored about the cells as JSON: `genbench schema cell` describes ``result``."""
        runs = {}
        for directory, contents in self._runs:
            described = describe_run(directory, contents)
            runs[contents.name] = {name: value for name, value in described.items() if name != "cells"}
        cells = []
        contents_of = {id(run.directory): run.contents for run in self._runs}
        for cell in self._cells:
            described = describe_cell(cell.directory, contents_of[id(cell.directory)], cell.outcome.planned)
            cells.append({"run": cell.run, **described, "settings": dict(cell.settings)})
        return msgspec.json.format(msgspec.json.encode({"runs": runs, "cells": cells}), indent=2).decode() + "\n"

    def figure(
        self,
        kind: str = "frontier",
        x: str = "",
        y: str | Sequence[str] = (),
        *,
        log_x: bool | None = None,
        log_y: bool | None = None,
        theme: str = "light",
        width: str | float = "two-column",
        height: float | None = None,
        over_seeds: bool | None = None,
    ) -> Figure:
        """Return a figure, as `genbench figure` makes it; ``save("f.pdf")`` writes it, and a notebook shows it.

        ``docs/figures.md`` shows every kind. Raises `UsageError` with the nearest name for an unknown kind or quantity,
        and `NoDataError` if the cells have none of it.

        Args:
            kind: ``frontier``, ``curves``, ``samples``, ``throughput``, ``scaling``,
                ``ranks`` or ``history``.
            x: the quantity of the horizontal axis; by default, the usual one of this kind.
            y: that of the vertical axis; of ``curves`` and ``history`` several, of ``samples`` the kind of picture.
            log_x, log_y: whether an axis is logarithmic; by default, where values span a factor of more than 20.
            theme: ``light``, ``dark`` or ``paper``.
            width: ``one-column`` (8.6 cm), ``two-column`` (17.8 cm), or centimetres.
            height: centimetres; by default, that of the content.
            over_seeds: whether seeds are pooled; by default, if there are several.
        """
        options = Options(x, (y,) if isinstance(y, str) and y else tuple(y), log_x, log_y)
        look = make_appearance(theme, width, height)
        contents = [run for run in self._own_contents() if run.record.cells]
        shown = Shown(self._table(over_seeds), contents, self._pictures())
        return figure_of_runs(kind, shown, options, look)

    def _only_run(self, why_not: str, cure: str) -> LoadedRun:
        if len(self._runs) != 1:
            raise UsageError(f"{len(self._runs)} runs {why_not}.", cure, code="GB705")
        return self._runs[0]

    def _shown_runs(self) -> list[str]:
        return [directory.shown(directory.path) for directory, _ in self._runs]

    def _own_contents(self) -> list[RunContents]:
        """Return what was read from each run, with these cells only."""
        own = {(id(cell.directory), cell.id) for cell in self._cells}
        found = []
        for directory, contents in self._runs:
            others = {cell.id for cell in contents.record.cells if (id(directory), cell.id) not in own}
            found.append(without_cells(contents, others) if others else contents)
        return found

    def _pictures(self) -> Callable[[CellOutcome], Mapping[str, Path]]:
        cell_of = {cell.outcome: cell for cell in self._cells}
        return lambda outcome: cell_of[outcome].pictures

    def _table(
        self,
        over_seeds: bool | None = None,
        targets: Mapping[str, float] | Sequence[str] = (),
        references: bool = True,
        letters: bool = False,
    ) -> Table:
        outcomes = [cell.outcome for cell in self._cells]
        contents = [run.contents for run in self._runs]
        given = [f"{metric}={value}" for metric, value in targets.items()] if isinstance(targets, Mapping) else targets
        return table_of_cells(
            outcomes,
            contents,
            over_seeds=over_seeds,
            targets=find_targets(contents, map(parse_target, given)) if given else None,
            with_references=references,
            letters=letters,
        )

    def with_warnings(self, warnings: Sequence[str], problems: Sequence[str] = ()) -> Results:
        """Return the same results with other `warnings` and `problems`."""
        return Results(self._runs, self._cells, warnings, problems)

    def _subset(self, cells: Sequence[Cell]) -> Results:
        return Results(self._runs, cells, self._warnings, self._problems)


def _cells(runs: Sequence[LoadedRun]) -> Iterator[Cell]:
    for directory, contents in runs:
        names = cache(partial(shown_names, contents.record.cells))  # those of thousands take a second
        for outcome in outcomes_of([contents]):
            yield Cell(outcome, directory, names)


def _pooled(row: Row, columns: Sequence[Column], cell_of: Mapping[CellOutcome, Cell]) -> PooledCells:
    settings = {name: value for name, value in row.cells[0].settings.items() if name != "seed"}
    measured: dict[str, Quantity] = {}
    for column in columns:
        value = row.values.get(column.key)
        raw = value.raw if value is not None and column.numeric else None
        if value is not None and isinstance(raw, int | float) and column.key not in ("seeds", "seed", *settings):
            measured[column.key] = Quantity(float(raw), value.parts.get("standard_error"))
    counting = row.values["seeds"].raw
    return PooledCells(tuple(cell_of[outcome] for outcome in row.cells), settings, int(counting or 0), measured)
