"""Choosing cells by their settings, under the names that the table and its CSV use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_SCHEMA
from genbench.commands.cell import Cell
from genbench.errors import UsageError, near_miss
from genbench.planning.values import parse_value
from genbench.report.table.outcome import UNSTORED
from genbench.report.table.settings import setting_text
from genbench.results.schema import STATUSES

_DEFAULTS = {option.name: option.default for option in RECIPE_SCHEMA}
_EMPTY: dict[str, OptionValue] = {"variant": ""}  # what a cell has that does not state the setting


def matches(cells: Sequence[Cell], wanted: Mapping[str, Any]) -> list[bool]:
    """Say for each cell whether all its settings are among those wanted; a list of values means any of them.

    Raises `UsageError` with the nearest name for a setting that no cell has, and for an unknown status.
    """
    facts = [_facts(cell) for cell in cells]
    names = list(dict.fromkeys([*(name for found in facts for name in found), "status", *_DEFAULTS]))
    chosen = {_find_name(name, names): value for name, value in wanted.items()}
    if "status" in chosen:
        _require_statuses(chosen["status"])
    return [
        all(_fits(name, found.get(name, _default(name)), value) for name, value in chosen.items()) for found in facts
    ]


def _facts(cell: Cell) -> dict[str, OptionValue]:
    """Return what a cell can be chosen by; metrics and speeds are not settings."""
    planned = {"dataset": cell.dataset, "variant": cell.variant}  # as named, without remarks
    return {**cell.settings, **planned, "family": cell.identity.family.name, "id": cell.id, "status": cell.status}


def _default(name: str) -> OptionValue:
    return _DEFAULTS.get(name, _EMPTY.get(name))


def _find_name(given: str, names: Sequence[str]) -> str:
    """Return the setting with this name, or with this name in a form that a keyword can have."""
    if given in names:
        return given
    alike = [name for name in names if _keyword(name) == _keyword(given)]
    alike = [name for name in alike if re.sub(r"\W", "_", name) == re.sub(r"\W", "_", given)] or alike
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise UsageError(
            f"'{given}' may mean {' or '.join(alike)}.",
            f"Write where({{'{alike[0]}': …}}), which takes names as they are.",
            code="GB107",
        )
    keywords = {_keyword(name): name for name in names}
    close = near_miss(_keyword(given), keywords)
    raise UsageError(f"No cell has a setting '{given}'.{close}", f"Settings: {', '.join(names)}.", code="GB101")


def _keyword(name: str) -> str:
    return re.sub(r"\W", "_", name).casefold()


def _require_statuses(given: Any) -> None:
    known = (*STATUSES, *UNSTORED)
    for status in [given] if isinstance(given, str) else given:
        if status not in known:
            raise UsageError(
                f"There is no status '{status}'.{near_miss(str(status), known)}",
                f"Statuses: {', '.join(known)}.",
                code="GB101",
            )


def _fits(name: str, value: OptionValue, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple | set | frozenset | range):
        if isinstance(value, list) and list(wanted) == value:
            return True
        return any(_equals(name, value, one) for one in wanted)
    return _equals(name, value, wanted)


def _equals(name: str, value: OptionValue, wanted: Any) -> bool:
    """Say whether a value is the one wanted, or is written so, as in ``--where learning_rate=1e-4``."""
    if isinstance(wanted, str) and not isinstance(value, str):
        if wanted == setting_text(name, value):
            return True
        wanted = parse_value(wanted)
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)
