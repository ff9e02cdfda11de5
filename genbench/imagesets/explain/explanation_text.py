"""An explanation as text: the distances by protocol, the waterfalls as bars, single choices, and the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genbench.imagesets.explain.protocol import describe
from genbench.imagesets.format import image_set_line
from genbench.report.numbers import significant, with_error
from genbench.report.table.layout import clean

if TYPE_CHECKING:
    from genbench.imagesets.explain.explanation import (
        Alternative,
        Explanation,
        ProtocolDistance,
        StatementCheck,
        Step,
        Waterfall,
    )

_BAR = 24  # characters of the longest bar
_ERRORS = (
    "±: standard error from drawing the second set, the reference held fixed. That of a difference is for the same "
    "images\nunder both protocols."
)


def as_text(found: Explanation) -> str:
    """Return the explanation for a terminal."""
    parts = [
        [image_set_line("real", found.real), image_set_line("fake", found.fake)],
        _distances(found.metric, found.distances),
        *[_waterfall(one) for one in found.waterfalls],
        _alternatives(found.around, found.alternatives),
        _not_varied(found.not_varied),
        _check(found.check) if found.check is not None else [],
        [_ERRORS],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _distances(metric: str, distances: Sequence[ProtocolDistance]) -> list[str]:
    rows = [("protocol", clean(metric), "difference")]
    for place, one in enumerate(distances):
        difference = _signed(one.difference, one.difference_error) if place else ""
        rows.append((clean(", ".join(one.names)), with_error(one.value, one.standard_error), difference))
    return _aligned(rows)


def _waterfall(one: Waterfall) -> list[str]:
    title = f"from {one.start} to {one.end}: {_signed(one.difference, one.standard_error)}"
    if not one.steps:
        return [clean(f"{title}: the same protocol")]
    reached, ends = one.start_value, [one.start_value]
    for step in one.steps:
        reached += step.effect
        ends.append(reached)
    rows = [("", one.start, significant(one.start_value), "", "")]
    for step, begin, end in zip(one.steps, ends, ends[1:], strict=False):
        change = f"{describe(step.before)} → {describe(step.after)}"
        bar = _bar(begin, end, min(ends), max(ends))
        rows.append((step.choice, change, _signed(step.effect, step.standard_error), bar, _orders(step)))
    rows.append(("", one.end, significant(one.end_value), "", ""))
    note = [] if one.all_orders else ["other orders: alone, first and last; not all orders were computed"]
    return [clean(title), *_aligned([tuple(map(clean, row)) for row in rows]), *note]


def _orders(step: Step) -> str:
    """Return how the effect depends on the order of the choices."""
    if max(abs(step.lowest - step.effect), abs(step.highest - step.effect)) <= 1e-9 * max(1.0, abs(step.effect)):
        return ""
    mean = "" if step.mean_over_orders is None else f", mean {_signed(step.mean_over_orders, step.mean_error)}"
    return f"other orders {_signed(step.lowest)} to {_signed(step.highest)}{mean}"


def _bar(begin: float, end: float, low: float, high: float) -> str:
    """Return a bar from `begin` to `end` on a line from `low` to `high`."""
    if high <= low:
        return ""
    first, last = sorted(round(_BAR * (value - low) / (high - low)) for value in (begin, end))
    return " " * min(first, _BAR - 1) + ("█" if end >= begin else "░") * max(1, last - first)


def _alternatives(around: str, alternatives: Sequence[Alternative]) -> list[str]:
    if not alternatives:
        return []
    rows = [(one.choice, describe(one.value), _signed(one.effect, one.standard_error)) for one in alternatives]
    return [f"one choice alone, from {clean(around)}", *_aligned(rows)]


def _not_varied(reasons: Mapping[str, str]) -> list[str]:
    choices: dict[str, list[str]] = {}
    for choice, reason in reasons.items():
        choices.setdefault(reason, []).append(choice)
    return [f"not varied: {', '.join(names)}: {clean(reason)}" for reason, names in choices.items()]


def _check(check: StatementCheck) -> list[str]:
    rows = [("choice", "here", "stated", "", "can still move it by")]
    for one in check.choices:
        stated = "" if one.status == "not stated" else describe(one.stated)
        moves = "" if one.lowest == one.highest == 0 else f"{_signed(one.lowest)} to {_signed(one.highest)}"
        reason = f"  ({one.reason})" if one.reason else ""
        rows.append((one.choice, describe(one.here), stated, one.status, moves + reason))
    differ = [one.choice for one in check.choices if one.status == "differs"]
    missing = [one.choice for one in check.choices if one.status == "not at hand"]
    if missing:
        verdict = f"not comparable: {', '.join(missing)} could not be done as stated"
    elif differ:
        verdict = f"the distance here is not comparable ({', '.join(differ)}); that under the stated protocol is"
    else:
        verdict = "comparable: everything stated is the same here"
    rest = f"; the rest could move it by {_signed(check.lowest)} to {_signed(check.highest)}, if effects add up"
    return [
        f"stated: {clean(check.title)}",
        *_aligned([tuple(map(clean, row)) for row in rows]),
        verdict + rest * bool(check.lowest or check.highest),
    ]


def _signed(value: float, error: float | None = None) -> str:
    text = significant(value, 3) if error is None else with_error(value, error)
    return text if text.startswith(("-", "(")) or value <= 0 else f"+{text}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
