"""The long lists of a cell's result, read from its file when they are used.

The windows, curves and evaluations make up nine tenths of a result. A reader of thousands of cells needs those of one
cell at a time, so they are not kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, overload

import msgspec

from genbench.errors import UsageError
from genbench.results.files import DamagedError, NewerFormatError, decode, read_regular_file
from genbench.results.schema import CellResult

Item = TypeVar("Item", covariant=True)
Field: TypeAlias = Literal["windows", "curves", "evaluations"]
_SHORT = 10  # windows, points or estimates that a list keeps
FIELDS: tuple[Field, ...] = ("windows", "curves", "evaluations")


class StoredSeries(Sequence[Item]):
    """One of the lists of a stored result. It raises `UsageError` if the file has become unreadable meanwhile."""

    __slots__ = ("_field", "_path")

    def __init__(self, path: Path, field: Field) -> None:
        self._path, self._field = path, field

    def __len__(self) -> int:
        return len(self._items())

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self._items()[index]

    def __iter__(self) -> Any:
        return iter(self._items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def _items(self) -> Sequence[Item]:
        try:
            status = self._path.stat()
            result = _read(self._path, status.st_mtime_ns, status.st_size)
        except (OSError, DamagedError, NewerFormatError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(
                f"{self._path} has changed while it was being read: {why}.", "Start again.", code="GB309"
            ) from error
        items: Sequence[Item] = getattr(result, self._field)
        return items


def without_series(result: CellResult, path: Path) -> CellResult:
    """Return a result that reads its long lists from `path`, where it is stored; short ones stay as they are."""
    long: dict[str, Any] = {field: StoredSeries(path, field) for field in FIELDS if _length(result, field) > _SHORT}
    return msgspec.structs.replace(result, **long) if long else result


def _length(result: CellResult, field: Field) -> int:
    if field == "evaluations":
        return sum(len(point.estimates) for point in result.evaluations)
    return len(getattr(result, field))


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> CellResult:
    """Return the result in a file; the last modification and the size tell its versions apart."""
    return decode(read_regular_file(path), CellResult)
