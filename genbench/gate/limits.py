"""What a gate allows: limits in TOML, under `[gate]`.

```toml
[gate]
max-slowdown = "5%"        # of throughput; left out: not judged

[gate.counters]            # exact; what is not named may not grow at all
peak-bytes = "2%"

[gate.metrics]             # by how much a metric may get worse: a share of base's value, or a number
fd-fashion-cnn = "10%"
psnr = 0.5

[gate.cells.dcgan]         # for one cell, by its name or its model
max-slowdown = "10%"
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from genbench.errors import UsageError, near_miss

COUNTERS = (
    "flops_per_image",
    "flops_per_sample",
    "parameters",
    "operations",
    "host_reads",
    "layout_copies",
    "strided_convolutions",
    "peak_bytes",
    "kernel_launches",
)
_KEYS = ("max_slowdown", "counters", "metrics", "cells")


@dataclass(frozen=True)
class Limit:
    """By how much something may get worse: a share of base's value, or a number in its own unit."""

    amount: float
    relative: bool

    def allowance(self, base: float) -> float:
        """Return the number that base's value may be worse by."""
        return self.amount * abs(base) if self.relative else self.amount


@dataclass(frozen=True)
class Limits:
    """The limits of one cell."""

    max_slowdown: Limit | None = None  # None: speed is shown, and not judged
    counters: Mapping[str, Limit] = field(default_factory=dict)
    metrics: Mapping[str, Limit] = field(default_factory=dict)
    other_metrics: Limit | None = None  # of metrics that are not named; None: shown, and not judged
    cells: Mapping[str, Limits] = field(default_factory=dict)  # by a cell's name, or its model's

    def of(self, cell: str) -> Limits:
        """Return the limits of a cell: those of its own name before those of its model, before the general ones."""
        model = cell.split(" · ", 1)[0]
        limits = self
        for name in dict.fromkeys((model, cell)):
            own = self.cells.get(name)
            if own is not None:
                limits = replace(
                    limits,
                    max_slowdown=own.max_slowdown or limits.max_slowdown,
                    counters={**limits.counters, **own.counters},
                    metrics={**limits.metrics, **own.metrics},
                )
        return limits


NO_GROWTH = Limit(0.0, relative=True)


def read_limits(table: object, where: str = "gate") -> Limits:
    """Return the limits of a `[gate]` table; raise `UsageError` for a key or a value that has no meaning."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is no table.", 'Write [gate], and below it: max-slowdown = "5%".')
    read: dict[str, Any] = {}
    for written, value in table.items():
        key = str(written).replace("-", "_")
        place = f"{where}.{written}"
        if key not in _KEYS or (key == "cells" and where != "gate"):
            raise UsageError(f"{place} is no limit.{near_miss(key, _KEYS)}", f"Keys: {', '.join(_KEYS)}.")
        if key == "max_slowdown":
            read[key] = parse_limit(value, place)
        elif key == "cells":
            read[key] = {str(name): read_limits(own, f"{place}.{name}") for name, own in _table(value, place)}
        else:
            read[key] = {
                _counter(name, key, place): parse_limit(v, f"{place}.{name}") for name, v in _table(value, place)
            }
    return Limits(**read)


def parse_limit(value: object, where: str) -> Limit:
    """Return the limit of ``"5%"`` or ``0.5``; raise `UsageError` for anything else, or for less than nothing."""
    how = 'Write a share such as "5%", or a number, from 0.'
    relative = isinstance(value, str) and value.strip().endswith("%")
    try:
        amount = float(value.strip().removesuffix("%")) / 100 if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        amount = math.nan
    unreadable = isinstance(value, bool) or (isinstance(value, str) and not relative)
    if unreadable or not (math.isfinite(amount) and amount >= 0):
        raise UsageError(f"{where} = {value!r} cannot be read.", how)
    return Limit(amount, relative)


def _counter(name: object, key: str, place: str) -> str:
    if key != "counters":
        return str(name)
    counter = str(name).replace("-", "_")
    if counter not in COUNTERS:
        raise UsageError(
            f"{place}.{name} is no counter.{near_miss(counter, COUNTERS)}", f"Counters: {', '.join(COUNTERS)}."
        )
    return counter


def _table(value: object, place: str) -> list[tuple[object, object]]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{place} is no table.", f"Write [{place}].")
    return list(value.items())
