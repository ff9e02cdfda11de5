"""The rows of a run on the board: means over seeds, each value with the leaderboard that it belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from genbench.gate.reproduction import Verdict
from genbench.report.board.cell_data import texts_of
from genbench.report.board.named_pages import machine_page, plugin_pages
from genbench.report.board.output import RUNS
from genbench.report.board.page_templates import fragment
from genbench.report.board.records import BoardCell, BoardRow, RowEntry, ShownValue
from genbench.report.board.slugs import slug
from genbench.report.charts.frontier import quality_columns
from genbench.report.race_text import UNEQUAL
from genbench.report.table.comparability import dataset_key, group_key
from genbench.report.table.layout import Column, Row, Table, Value, clean
from genbench.report.table.outcome import COUNTING, CellOutcome
from genbench.report.table.race_column import RACE
from genbench.report.table.settings import caption
from genbench.report.table.values import protocol_text

SPEED = "images/s"
_LONGEST = 2000
_MOST_SEEDS = 20  # that are named; the page of the run has all cells


def board_rows(
    run_slug: str,
    run: str,
    verdict: Verdict,
    table: Table,
    cells: Sequence[BoardCell],
    places: Mapping[CellOutcome, int],
) -> list[BoardRow]:
    """Return the rows of a run.

    Args:
        run_slug: of the run.
        run: its name.
        verdict: of the check of the run.
        table: its cells, or their means over seeds.
        cells: what the board knows of each.
        places: of the cells of the table among them.
    """
    columns: list[tuple[Column, Literal["quality", "speed"]]] = [(one, "quality") for one in quality_columns(table)]
    columns += [(column, "speed") for column in table.columns if column.key == SPEED]
    texts = texts_of(table)
    found = []
    for row in table.rows:
        if row.kind != "cell":
            continue
        first = row.cells[0].planned
        own = [cells[places[cell]] for cell in row.cells]
        about: dict[str, Any] = {
            "name": _name(row, own[0].name), "href": f"{RUNS}/{run_slug}/{own[0].slug}.html", "run": run,
            "run_href": f"{RUNS}/{run_slug}/index.html", "verdict": verdict, "settings": _settings(row.cells[0]),
            "seeds": [
                {"seed": cell.planned.identity.seed, "href": f"{RUNS}/{run_slug}/{cell.file}" if cell.file else ""}
                for cell in own[:_MOST_SEEDS]
            ],
            "total_seeds": len(own),
        }  # fmt: skip
        counting = sum(cell.status in COUNTING for cell in row.cells)
        machine = next((page for cell in row.cells if (page := _machine(cell)) is not None), None)
        where = f"{machine.name if machine else 'an unknown machine'} ({first.identity.device})"
        entries = []
        for column, kind in columns:
            value = row.values.get(column.key)
            key = next((k for cell in row.cells if (k := _key(cell, column.key)) is not None), None)
            if value is None or key is None or not _is_finite(value):
                continue
            notes = [texts[mark] for mark in value.marks if mark in texts] + _race_notes(row)
            html = fragment("entry.html", text=value.text, notes=notes, counting=counting, **about)
            entries.append(
                RowEntry(
                    board=slug(f"{first.identity.dataset.name} {column.key}", repr(key), column.direction or ""),
                    column=column.key, unit=column.unit, direction=column.direction or "lower", kind=kind,
                    dataset=clean(first.identity.dataset.name), where=where if kind == "speed" else "",
                    protocol=_protocol(row.cells, column.key, kind),
                    value=ShownValue(text=value.text, raw=value.raw, parts=dict(value.parts), seeds=value.seeds),
                    html=html,
                )
            )  # fmt: skip
        plugins = plugin_pages(first.identity)
        html = fragment(
            "row.html", dataset=clean(first.identity.dataset.name), statuses=_statuses(row.cells), entries=entries,
            machine=machine, counting=counting, **about,
        )  # fmt: skip
        found.append(
            BoardRow(
                name=about["name"], cells=tuple(places[cell] for cell in row.cells),
                model=clean(first.identity.model.name), dataset=clean(first.identity.dataset.name),
                machine=machine.slug if machine else "", plugins=[page.slug for page in plugins], html=html,
                entries=entries,
            )
        )  # fmt: skip
    return found


def _race_notes(row: Row) -> list[str]:
    """Return what a race decided about the row, and what that means for its number of seeds."""
    fate = row.values.get(RACE)
    return [clean(f"race: {fate.text}; {UNEQUAL}", _LONGEST)] if fate is not None and fate.text else []


def _name(row: Row, name: str) -> str:
    """Return the name of the first cell; without the seed where there are several."""
    seed = f"seed {row.cells[0].planned.identity.seed}"
    return " · ".join(part for part in name.split(" · ") if len(row.cells) == 1 or part != seed)


def _settings(cell: CellOutcome) -> str:
    return clean(caption({name: value for name, value in cell.settings.items() if name != "seed"}), _LONGEST)


def _key(cell: CellOutcome, column: str) -> tuple[object, ...] | None:
    """Return what is equal for cells whose values are ranked together: that of a metric names the dataset anyway."""
    key = group_key(cell, column) if cell.status in COUNTING else None
    return None if key is None else (dataset_key(cell.planned.identity), *key)


def _protocol(cells: Sequence[CellOutcome], column: str, kind: str) -> str:
    for cell in cells:
        key = _key(cell, column)
        if key is None or cell.result is None:
            continue
        if kind == "quality":
            return protocol_text(cell.estimates[column])
        pairs = [pair for pair in key if isinstance(pair, tuple) and len(pair) == 2]
        facts = [f"{pair[0]} {pair[1]}" for pair in pairs if pair[1] not in ("", "none")]
        return clean(", ".join([f"device {cell.planned.identity.device}", *facts]), _LONGEST)
    return ""


def _statuses(cells: Sequence[CellOutcome]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for cell in cells:
        found[cell.status] = found.get(cell.status, 0) + 1
    return list(found.items())


def _machine(cell: CellOutcome) -> Any:
    return machine_page(cell.result.comparability if cell.result is not None else None)


def _is_finite(value: Value) -> bool:
    return isinstance(value.raw, int | float) and math.isfinite(value.raw)
