"""The result of comparing two image sets, as records."""

from __future__ import annotations

import html
from dataclasses import dataclass

import msgspec

from genbench.api.evaluation import Estimate, Unavailable
from genbench.imagesets.format import as_data, as_text
from genbench.results.estimates import find_estimate


@dataclass(frozen=True)
class ImageSetReport:
    """What was read of one image set."""

    title: str
    n: int | None  # images; None: a file of statistics that does not say
    skipped: int = 0  # unreadable images
    skipped_named: tuple[str, ...] = ()  # the first of them, with the reason
    image_shapes: tuple[str, ...] = ()  # the most frequent first
    left_out: int = 0  # images that are not read because of their suffix
    from_cache: bool = False  # its statistics were cached, so that its images were not read


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison; printed, it is what `genbench fid` prints."""

    real: ImageSetReport
    fake: ImageSetReport
    estimates: tuple[Estimate, ...]
    unavailable: tuple[Unavailable, ...] = ()  # metrics without a value, with the reason
    warnings: tuple[str, ...] = ()

    def estimate(self, metric: str) -> Estimate:
        """Return the estimate of a metric; raise `UsageError` with the reason or the nearest name."""
        return find_estimate(self.estimates, self.unavailable, metric)

    def to_json(self) -> str:
        """Return the comparison as JSON; docs/metrics.md documents every key."""
        return msgspec.json.format(msgspec.json.encode(as_data(self)), indent=2).decode() + "\n"

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        warnings = "".join(f"<p>Warning: {html.escape(warning)}</p>" for warning in self.warnings)
        return f"{warnings}<pre>{html.escape(as_text(self))}</pre>"
