"""The report as text and as JSON data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from genbench.datacheck.check import Measured
from genbench.datacheck.duplicates import DuplicateGroup
from genbench.datacheck.findings import Finding, counted, suspects
from genbench.datacheck.outliers import Spread

_EXAMPLES = 3  # that the text lists per finding
_CLASSES = 12  # that the text lists
_WIDTH = 160  # characters of an example


def as_text(measured: Measured, found: Sequence[Finding]) -> str:
    """Return the report: an overview, then the findings, the most severe first."""
    scan = measured.scan
    lines = [
        f"{scan.source}: {counted(len(scan), 'image')} "
        f"({scan.train:,} for training, {len(scan) - scan.train:,} held out)",
        *_overview(measured),
        "",
    ]
    for finding in found:
        lines.append(f"{finding.severity:<8} {finding.text}")
        lines += [f"{'':<9}{_short(example)}" for example in finding.examples[:_EXAMPLES]]
        more = len(finding.examples) - _EXAMPLES
        lines += [f"{'':<9}… and {more:,} more"] if more > 0 else []
        lines += [f"{'':<9}-> {finding.cure}"] if finding.cure else []
    count = len(suspects(found))
    lines.append(f"{counted(count, 'finding')} to look into." if count else "Nothing suspicious.")
    return "\n".join(lines) + "\n"


def as_data(measured: Measured, found: Sequence[Finding]) -> dict[str, Any]:
    """Return the report as plain data; docs/data.md documents every key."""
    scan, files = measured.scan, measured.scan.files
    name = scan.names.__getitem__
    return {
        "source": scan.source,
        "kind": scan.kind,
        "images": len(scan),
        "train": scan.train,
        "test": len(scan) - scan.train,
        "suspects": len(suspects(found)),
        "findings": [dataclasses.asdict(finding) for finding in found],
        "unreadable": [{"name": file, "reason": reason} for file, reason in scan.unreadable],
        "sizes": {
            "width": _plain(measured.width),
            "height": _plain(measured.height),
            "aspect": _plain(measured.aspect),
            "target": files.size if files else None,
        },
        "modes": dict(files.modes) if files else None,
        "grey": int(scan.fingerprints.grey.sum()),
        "exact_duplicates": _groups(measured, measured.exact),
        "near_duplicates": _groups(measured, measured.near),
        "balance": None if measured.balance is None else dataclasses.asdict(measured.balance),
        "brightness": _plain(measured.brightness),
        "contrast": _plain(measured.contrast),
        "blank": [name(image) for image in measured.blank],
        "outliers": [{**dataclasses.asdict(outlier), "image": name(outlier.image)} for outlier in measured.outliers],
        "thresholds": dataclasses.asdict(measured.thresholds),
    }


def _overview(measured: Measured) -> list[str]:
    scan, files, facts = measured.scan, measured.scan.files, measured.balance
    lines = []
    if measured.width and measured.height and measured.aspect:
        lines.append(f"size       {_pixels(measured.width)} wide, {_pixels(measured.height)} high")
        if measured.aspect.least != measured.aspect.greatest:
            lines[-1] += f", aspect ratio {measured.aspect.least:.2f} to {measured.aspect.greatest:.2f}"
    if files and files.modes:
        lines.append("modes      " + ", ".join(f"{mode} {count:,}" for mode, count in files.modes.items()))
    if measured.brightness and measured.contrast:
        lines.append(f"brightness {_levels(measured.brightness)}; contrast {_levels(measured.contrast)}")
    if facts is not None:
        lines.append(
            f"classes    {len(facts.classes)}, evenness {facts.evenness:.2f}"
            + (f", largest/smallest {facts.ratio:.2f}" if facts.ratio else "")
        )
        width = max(len(_short(one.name, 32)) for one in facts.classes[:_CLASSES])
        for one in facts.classes[:_CLASSES]:
            light = (
                f"brightness {one.brightness:5.1f}, contrast {one.contrast:5.1f}" if one.brightness is not None else ""
            )
            lines.append(f"           {_short(one.name, 32):<{width}} {one.train:>7,} + {one.test:>6,}  {light}")
        if len(facts.classes) > _CLASSES:
            lines.append(f"           … and {len(facts.classes) - _CLASSES} more")
    if scan.points:
        lines.append("2-D points: duplicates, brightness and contrast are not checked")
    elif len(scan) and measured.near is None:
        lines.append(f"near duplicates: not checked for images below {measured.thresholds.near_side} pixels")
    return lines


def _groups(measured: Measured, groups: Sequence[DuplicateGroup] | None) -> list[dict[str, Any]] | None:
    names = measured.scan.names
    if groups is None:
        return None
    return [{**dataclasses.asdict(group), "images": [names[image] for image in group.images]} for group in groups]


def _plain(spread: Spread | None) -> dict[str, float] | None:
    return None if spread is None else dataclasses.asdict(spread)


def _pixels(spread: Spread) -> str:
    if spread.least == spread.greatest:
        return f"{spread.least:,.0f}"
    return f"{spread.least:,.0f} to {spread.greatest:,.0f} (median {spread.median:,.0f})"


def _levels(spread: Spread) -> str:
    return f"{spread.median:.0f} (90 % between {spread.low:.0f} and {spread.high:.0f})"


def _short(text: str, limit: int = _WIDTH) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
