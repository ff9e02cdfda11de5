"""The limits of a gate: a `[gate]` table in TOML.

```toml
[gate]
max-slowdown = "5%"        # of throughput; not judged if omitted

[gate.counters]            # exact; a counter not listed may not grow at all
peak-bytes = "2%"

[gate.metrics]             # largest deterioration of a metric: a share of base's value, or a number
fd-fashion-cnn = "10%"
psnr = 0.5

[gate.cells.dcgan]         # for one cell, by the name of the cell or its model
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
    """The largest deterioration allowed: a share of base's value, or a number in the quantity's own unit."""

    amount: float
    relative: bool

    def allowance(self, base: float) -> float:
        """Return the allowed deterioration from base's value, in its unit."""
        return self.amount * abs(base) if self.relative else self.amount


@dataclass(frozen=True)
class Limits:
    """The limits of one cell."""

    max_slowdown: Limit | None = None  # None: speed is shown but not judged
    counters: Mapping[str, Limit] = field(default_factory=dict)
    metrics: Mapping[str, Limit] = field(default_factory=dict)
    other_metrics: Limit | None = None  # for metrics not listed; None: shown but not judged
    cells: Mapping[str, Limits] = field(default_factory=dict)  # by the name of a cell or a model

    def of(self, cell: str) -> Limits:
        """Return the limits of a cell: its own take precedence over its model's, and these over the general ones."""
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
    """Return the limits of a `[gate]` table; raise `UsageError` for an unknown key or an invalid value."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is not a table.", 'Write [gate], and below it: max-slowdown = "5%".')
    read: dict[str, Any] = {}
    for written, value in table.items():
        key = str(written).replace("-", "_")
        place = f"{where}.{written}"
        if key not in _KEYS or (key == "cells" and where != "gate"):
            raise UsageError(f"{place} is not a limit.{near_miss(key, _KEYS)}", f"Keys: {', '.join(_KEYS)}.")
        if key == "max_slowdown":
            read[key] = parse_limit(value, place)
        elif key == "cells":
            read[key] = {str(name): read_limits(own, f"{place}.{name}") for name, own in _table(value, place)}
        else:
            read[key] = {
                _counter_name(name, key, place): parse_limit(v, f"{place}.{name}") for name, v in _table(value, place)
            }
    return Limits(**read)


def parse_limit(value: object, where: str) -> Limit:
    """Return the limit of ``"5%"`` or ``0.5``; raise `UsageError` for anything else, or a negative number."""
    how = 'Write a share such as "5%" or a number, not negative.'
    relative = isinstance(value, str) and value.strip().endswith("%")
    try:
        amount = float(value.strip().removesuffix("%")) / 100 if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        amount = math.nan
    unreadable = isinstance(value, bool) or (isinstance(value, str) and not relative)
    if unreadable or not (math.isfinite(amount) and amount >= 0):
        raise UsageError(f"{where} = {value!r} cannot be read.", how)
    return Limit(amount, relative)


def _counter_name(name: object, key: str, place: str) -> str:
    if key != "counters":
        return str(name)
    counter = str(name).replace("-", "_")
    if counter not in COUNTERS:
        raise UsageError(
            f"{place}.{name} is not a counter.{near_miss(counter, COUNTERS)}", f"Counters: {', '.join(COUNTERS)}."
        )
    return counter


def _table(value: object, place: str) -> list[tuple[object, object]]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{place} is not a table.", f"Write [{place}].")
    return list(value.items())
