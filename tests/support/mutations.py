"""Changes to a valid JSON document, one at a time, that a careless edit or a faulty disk might make."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

DELETED = object()

_OF_NUMBERS: tuple[object, ...] = (-1, 0, 10**15, 10**30, 10**400, 1e300, -1e300, 0.5, "seven", None, DELETED)
_OF_TEXTS: tuple[object, ...] = ("", "x" * 300, "../up", "a/b", "nul\0", "\x1b[2J", "ü–×" * 90, 7, None, DELETED)
_OF_OTHERS: tuple[object, ...] = (None, [], {}, [[]], "text", -1, DELETED)


class Mutation(NamedTuple):
    """One changed document."""

    where: str  # path of the field, such as 'best.metric'
    value: object  # its new value
    document: Any


def mutations(document: Any) -> Iterator[Mutation]:
    """Yield the document with each of its fields replaced, deleted or of another type, one change at a time."""
    for path in _paths(document):
        for value in _values(_at(document, path)):
            changed = copy.deepcopy(document)
            place = _at(changed, path[:-1])
            if value is DELETED:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            yield Mutation(".".join(map(str, path)), "deleted" if value is DELETED else value, changed)


def _values(old: object) -> Iterator[object]:
    kinds = _OF_OTHERS
    if isinstance(old, bool):
        kinds = (not old, None, "yes", DELETED)
    elif isinstance(old, int | float):
        kinds = _OF_NUMBERS
    elif isinstance(old, str):
        kinds = _OF_TEXTS
    elif isinstance(old, list):
        kinds = ([], old * 2, [*old, *old[:1]], None, {}, "text", DELETED)
    return (value for value in kinds if value != old)


def _paths(document: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each field; of a list, only the first two items, as the others are alike."""
    items = document.items() if isinstance(document, dict) else enumerate(document[:2])
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*above, key))


def _at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document
