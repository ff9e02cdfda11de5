"""The output of `genbench compare RUN… --over-datasets`: ranks, tests and what they do not show."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from genbench.gate.over_datasets import ERROR, OverDatasets
from genbench.report.numbers import p_relation, p_value, significant

_FEW = 10  # datasets, below which the approximations of Friedman's and Nemenyi's tests are rough


def text(found: OverDatasets) -> str:
    """Return the tables, the tests and their pitfalls for a terminal."""
    ranks = found.ranks
    rows = [
        [method, f"{ranks.ranks[place]:.2f}", *(significant(row[place]) for row in found.values)]
        for place, method in enumerate(found.methods)
    ]
    headings = ["method", "average rank", *found.datasets]
    aligned = ("left", *["right"] * (1 + len(found.datasets)))
    lines = [f"{found.metric} ({found.direction} is better), means over seeds; rank 1 is best", ""]
    lines += [tabulate(rows, headings, disable_numparse=True, colalign=aligned), ""]
    lines += [
        f"Friedman: χ² = {significant(ranks.chi_squared, 3)}, p {p_relation(ranks.p_friedman)}; "
        f"Iman and Davenport's F: p {p_relation(ranks.p_iman_davenport)}.",
        f"Nemenyi's critical difference at {ERROR:g}: {ranks.critical_difference:.2f} ranks.",
        "",
    ]
    pairs = [
        [pair.one, pair.other, p_value(pair.p_adjusted), p_value(pair.p_wilcoxon), p_value(pair.p_nemenyi)]
        for pair in found.pairs
    ]
    headings = ["method", "and", "p (Wilcoxon, Holm)", "Wilcoxon alone", "Nemenyi"]
    aligned = ("left", "left", "right", "right", "right")
    lines += [tabulate(pairs, headings, disable_numparse=True, colalign=aligned), "", *pitfalls(found)]
    lines += [f"Left out: {reason}." for reason in found.left_out]
    return "\n".join(lines) + "\n"


def document(found: OverDatasets) -> dict[str, Any]:
    """Return everything for programs."""
    return {
        "metric": found.metric,
        "direction": found.direction,
        "datasets": found.datasets,
        "methods": [
            {"method": method, "average_rank": rank, "values": [row[place] for row in found.values]}
            for place, (method, rank) in enumerate(zip(found.methods, found.ranks.ranks, strict=True))
        ],
        "friedman": {"chi_squared": found.ranks.chi_squared, "p_value": found.ranks.p_friedman},
        "iman_davenport": {"p_value": found.ranks.p_iman_davenport},
        "nemenyi": {"error": ERROR, "critical_difference": found.ranks.critical_difference},
        "pairs": found.pairs,
        "left_out": found.left_out,
        "pitfalls": pitfalls(found),
    }


def pitfalls(found: OverDatasets) -> list[str]:
    """Return what a reader of such ranks must know."""
    datasets = len(found.datasets)
    said = [
        "Whether Nemenyi separates two methods depends on the others in the table: adding a bad method can make two "
        "good ones differ (Benavoli et al. 2016). Wilcoxon's test uses the two alone, so it decides about a pair.",
        "Ranks say how often, not by how much; an average rank has no error from seeds in it.",
    ]
    if 2 / 2**datasets > ERROR:
        least = p_value(2 / 2**datasets)
        said.append(f"With {datasets} datasets Wilcoxon's p cannot fall below {least}: no pair can be decided.")
    elif datasets < _FEW:
        said.append(f"With {datasets} datasets the p-values of Friedman and Nemenyi are rough; use ten or more.")
    return said
