"""A comparison as text and as JSON data."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from genbench.api.evaluation import Estimate
from genbench.report.numbers import count, significant, with_error
from genbench.report.table.layout import clean

if TYPE_CHECKING:
    from genbench.imagesets.measured import Comparison, ImageSetReport

_ARROWS = {"lower": "↓", "higher": "↑"}


def as_text(found: Comparison) -> str:
    """Return the two image sets, one line per metric with its reference values, and the protocol of each extractor."""
    lines = [image_set_line("real", found.real), image_set_line("fake", found.fake), ""]
    width = max((len(name) for name in _names(found)), default=0)
    unknown = _unknown_null(found)
    lines += [f"{estimate.metric:<{width}} {_number(estimate, unknown)}" for estimate in found.estimates]
    lines += [f"{clean(one.metric):<{width}} n/a: {clean(one.reason)}" for one in found.unavailable]
    protocols = {_protocol(estimate): None for estimate in found.estimates}
    lines += ["", *protocols] if protocols else []
    return "\n".join(lines) + "\n"


def as_data(found: Comparison) -> dict[str, Any]:
    """Return the comparison as plain data; docs/metrics.md documents every key."""
    data = dataclasses.asdict(found)
    if found.fake.n is None:
        for estimate in data["estimates"]:
            estimate["n"] = None
    return data


def _unknown_null(found: Comparison) -> str:
    """Return why the score of a perfect generator is unknown; empty where it is not."""
    if found.real.n is None:
        return "the number of reference images is not stated: --n-real"
    return "the number of images of the second set is not stated" if found.fake.n is None else ""


def _names(found: Comparison) -> list[str]:
    return [*(one.metric for one in found.estimates), *(one.metric for one in found.unavailable)]


def image_set_line(name: str, read: ImageSetReport) -> str:
    """Return what was read of an image set, in one line."""
    number = "unknown number of images" if read.n is None else f"{count(read.n)} images"
    shapes = f", {', '.join(read.image_shapes[:3])}{' and more' * (len(read.image_shapes) > 3)}"
    cached = "; statistics from the cache" if read.from_cache else ""
    return f"{name}  {clean(read.title)}: {number}{shapes if read.image_shapes else ''}{cached}"


def _number(estimate: Estimate, unknown_null: str) -> str:
    references = [
        f"{label} {significant(value)}"
        for label, value in (("debiased", estimate.debiased), ("a perfect generator", estimate.null))
        if value is not None
    ]
    if estimate.null is None and unknown_null:
        references.append(f"a perfect generator n/a: {unknown_null}")
    more = f"  ({', '.join(references)})" if references else ""
    return f"{_ARROWS[estimate.direction]}  {with_error(estimate.value, estimate.standard_error)}{more}"


def _protocol(estimate: Estimate) -> str:
    """Return the protocol that must agree for values to be comparable."""
    kept = ("weights_sha256", "layer", "resize", "whitened", "subset")
    parts = [f"{key} {clean(str(estimate.protocol[key]))}" for key in kept if key in estimate.protocol]
    return f"protocol  {'; '.join(parts)}"
