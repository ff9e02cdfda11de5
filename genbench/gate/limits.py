"""The limits of a gate: a `[gate]` table in TOML.

```toml
[gate]
max-slowdown = "5%"        # of throughput; not judged if omitted

[gate.counters]            # exact; a counter not listed may not grow at all
peak-bytes = "2%"

[gate.metrics]             # largest deterioration of a metric: a share of base's value, or a number in its own unit
fd-fashion-cnn = "10%"
psnr = 0.5

[gate.cells.dcgan]         # for one cell, by the name of the cell or its model
max-slowdown = "10%"
```

Limits of speed and of counters are shares: ``"5%"``, or a number up to 1 (``0.05``). A number above 1 is rejected,
because it would mean a hundred times more than its writer may have intended.
"""

from __future__ import annotations

import math
import re
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

_ABSURD = 1e9  # no deterioration by this factor is worth a limit
_DECIMAL = re.compile(r"\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def read_limits(table: object, where: str = "gate") -> Limits:
    """Return the limits of a `[gate]` table; raise `UsageError` for an unknown key or an invalid value."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is not a table.", 'Write [gate], and below it: max-slowdown = "5%".', code="GB801")
    read: dict[str, Any] = {}
    for written, value in table.items():
        key = str(written).replace("-", "_")
        place = f"{where}.{written}"
        if key not in _KEYS or (key == "cells" and where != "gate"):
            raise UsageError(
                f"{place} is not a limit.{near_miss(key, _KEYS)}", f"Keys: {', '.join(_KEYS)}.", code="GB801"
            )
        if key == "max_slowdown":
            read[key] = parse_share_limit(value, place)
        elif key == "cells":
            read[key] = {str(name): read_limits(own, f"{place}.{name}") for name, own in _table(value, place)}
        elif key == "counters":
            read[key] = {
                _counter_name(name, place): parse_share_limit(v, f"{place}.{name}") for name, v in _table(value, place)
            }
        else:
            read[key] = {str(name): parse_limit(v, f"{place}.{name}") for name, v in _table(value, place)}
    return Limits(**read)


def parse_share(value: object, where: str) -> float:
    """Return 0.05 for ``"5%"``, ``"0.05"`` or ``0.05``, whether it comes from a flag or from a file.

    Raises `UsageError` for anything else. That includes a number above 1 without a percent sign, which can be read in
    two ways; the message names both.
    """
    text = value.strip() if isinstance(value, str) else ""
    percent = text.endswith("%")
    amount = _finite_number(text.removesuffix("%").strip() if isinstance(value, str) else value)
    if amount is None or not 0 <= amount < _ABSURD:
        raise UsageError(
            f"{_assigned(where, value)} cannot be read.",
            'Write a share of 0 or more, such as "5%" or 0.05.',
            code="GB801",
        )
    if percent:
        return amount / 100
    if amount > 1:
        one, other = f'"{amount:g}%"', f'"{100 * amount:g}%"'
        raise UsageError(
            f"{_assigned(where, value)} is ambiguous: it can mean {one} or, as a share, {other}.",
            f"Write {one} or {other}.",
            code="GB801",
        )
    return amount


def parse_share_limit(value: object, where: str) -> Limit:
    """Return a limit that is a share; raise `UsageError` as `parse_share` does."""
    return Limit(parse_share(value, where), relative=True)


def parse_limit(value: object, where: str) -> Limit:
    """Return the limit of a metric: ``"5%"`` is a share, ``0.5`` a number in the metric's own unit.

    Raises `UsageError` for anything else, or a negative number.
    """
    if isinstance(value, str) and value.strip().endswith("%"):
        return parse_share_limit(value, where)
    amount = None if isinstance(value, str) else _finite_number(value)
    if amount is None or amount < 0:
        raise UsageError(
            f"{_assigned(where, value)} cannot be read.",
            'Write a share such as "5%", or a number in the unit of the metric, not negative.',
            code="GB801",
        )
    return Limit(amount, relative=False)


def _finite_number(value: object) -> float | None:
    """Return a number, or the number that a text states in decimal digits; None for anything else."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            return None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return amount if math.isfinite(amount) else None


def _assigned(where: str, value: object) -> str:
    """Return a flag or a key of a file with its value, as the user wrote it."""
    return f"{where} {value}"[:120] if where.startswith("--") else f"{where} = {_shown(value)}"


def _shown(value: object) -> str:
    """Return a value as it is written in TOML, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 10**40:
        return "a number of more than 40 digits"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _counter_name(name: object, place: str) -> str:
    counter = str(name).replace("-", "_")
    if counter not in COUNTERS:
        raise UsageError(
            f"{place}.{name} is not a counter.{near_miss(counter, COUNTERS)}",
            f"Counters: {', '.join(COUNTERS)}.",
            code="GB801",
        )
    return counter


def _table(value: object, place: str) -> list[tuple[object, object]]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{place} is not a table.", f"Write [{place}].", code="GB801")
    return list(value.items())
