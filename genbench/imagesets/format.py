"""A comparison for a reader, and the same for a program."""

from __future__ import annotations

import dataclasses
from typing import Any

from genbench.api.evaluation import Estimate
from genbench.imagesets.comparison import Comparison, SideReport
from genbench.report.numbers import count, significant, with_error
from genbench.report.table.layout import clean

_ARROWS = {"lower": "↓", "higher": "↑"}


def as_text(found: Comparison) -> str:
    """Return the sides, one line for each number with what it is read beside, and the protocol of each extractor."""
    lines = [_side("real", found.real), _side("fake", found.fake), ""]
    width = max((len(name) for name in _names(found)), default=0)
    lines += [f"{estimate.metric:<{width}} {_number(estimate)}" for estimate in found.estimates]
    lines += [f"{clean(one.metric):<{width}} n/a: {clean(one.reason)}" for one in found.unavailable]
    protocols = {_protocol(estimate): None for estimate in found.estimates}
    lines += ["", *protocols] if protocols else []
    return "\n".join(lines) + "\n"


def as_data(found: Comparison) -> dict[str, Any]:
    """Return the comparison as plain data; docs/metrics.md documents every key."""
    return dataclasses.asdict(found)


def _names(found: Comparison) -> list[str]:
    return [*(one.metric for one in found.estimates), *(one.metric for one in found.unavailable)]


def _side(name: str, side: SideReport) -> str:
    number = "number of images not known" if side.n is None else f"{count(side.n)} images"
    shapes = f", {', '.join(side.image_shapes[:3])}{' and others' * (len(side.image_shapes) > 3)}"
    cached = "; statistics from the cache" if side.from_cache else ""
    return f"{name}  {clean(side.title)}: {number}{shapes if side.image_shapes else ''}{cached}"


def _number(estimate: Estimate) -> str:
    beside = [
        f"{label} {significant(value)}"
        for label, value in (("debiased", estimate.debiased), ("a perfect generator", estimate.null))
        if value is not None
    ]
    more = f"  ({', '.join(beside)})" if beside else ""
    return f"{_ARROWS[estimate.direction]}  {with_error(estimate.value, estimate.standard_error)}{more}"


def _protocol(estimate: Estimate) -> str:
    """Return what numbers of these features only compare under."""
    kept = ("weights_sha256", "layer", "resize", "whitened")
    parts = [f"{key} {clean(str(estimate.protocol[key]))}" for key in kept if key in estimate.protocol]
    return f"protocol  {'; '.join(parts)}"
