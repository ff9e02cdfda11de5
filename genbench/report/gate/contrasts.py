"""The output of `genbench compare RUN`: which cells differ, by how much, and what stays undecided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from genbench.gate.contrasts import ERROR, POWER, Contrast, Ranking
from genbench.gate.samples import Sample
from genbench.report.numbers import MISSING, p_value, significant, with_error
from genbench.report.race_text import UNEQUAL
from genbench.stats.intervals import mean_and_error

_CELLS = ("cell", "seeds", "mean ± se", "sd of training", "95 % interval", "sd of sampling", "letters")
_MOST_PAIRS = 100  # of a table
_PAIRS = ("cell", "than", "difference", "95 % interval", "p", "sign-flip", "Wilcoxon", "answer")


def text(groups: Sequence[Ranking], pairs: Sequence[Contrast]) -> str:
    """Return the tables and sentences for a terminal."""
    lines: list[str] = []
    for group in groups:
        first = group.samples[0]
        lines += [f"{first.metric} ({first.direction} is better) on {first.dataset}", ""]
        rows = [_cell_row(sample, letters) for sample, letters in zip(group.samples, group.letters, strict=True)]
        lines += [tabulate(rows, _CELLS, disable_numparse=True, colalign=("left", *["right"] * 5, "left")), ""]
        members = set(map(id, group.samples))
        own = [pair for pair in pairs if id(pair.one) in members]
        if len(own) > _MOST_PAIRS:
            own.sort(key=lambda pair: 2.0 if pair.p_adjusted is None else pair.p_adjusted)
        if own:
            aligned = ("left", "left", *["right"] * 5, "left")
            shown = map(_pair_row, own[:_MOST_PAIRS])
            lines += [tabulate(shown, _PAIRS, disable_numparse=True, colalign=aligned), ""]
        if len(own) > _MOST_PAIRS:
            lines += [f"{len(own) - _MOST_PAIRS} more pairs with larger p: --json has them.", ""]
    lines += _remarks(groups, pairs)
    return "\n".join(lines) + "\n"


def document(groups: Sequence[Ranking], pairs: Sequence[Contrast]) -> dict[str, Any]:
    """Return everything for programs."""
    return {
        "error": ERROR,
        "remark": UNEQUAL if any(sample.raced for group in groups for sample in group.samples) else "",
        "groups": [
            {
                "metric": group.samples[0].metric,
                "direction": group.samples[0].direction,
                "dataset": group.samples[0].dataset,
                "cells": [_cell(sample, own) for sample, own in zip(group.samples, group.letters, strict=True)],
            }
            for group in groups
        ],
        "pairs": [_pair(pair) for pair in pairs],
    }


def answer(pair: Contrast) -> str:
    """Return the answer about a pair in plain English."""
    if pair.answer == "one seed":
        return "n/a: one seed does not show how much training again changes"
    if pair.answer != "undecided":
        return f"{pair.one.cell} is {pair.answer} than {pair.other.cell}"
    found = pair.comparison
    if found is not None and found.difference.standard_error == 0:
        return "undecided: no seed differs" if found.difference.mean else "equal in every seed"
    sees = pair.sees
    return f"undecided; these seeds see {significant(sees, 3)} or more" if sees else "undecided"


def _cell_row(sample: Sample, letters: str) -> list[str]:
    found, parts = mean_and_error([*sample.values.values()]), sample.components
    training = interval = sampling = MISSING
    if parts is not None:
        training, sampling = significant(math.sqrt(parts.training), 3), significant(math.sqrt(parts.sampling), 3)
        interval = f"{significant(math.sqrt(parts.low), 3)} … {significant(math.sqrt(parts.high), 3)}"
    value = with_error(found.value, found.standard_error)
    return [sample.method, str(len(sample.values)), value, training, interval, sampling, letters or MISSING]


def _pair_row(pair: Contrast) -> list[str]:
    found = pair.comparison
    if found is None or pair.p_adjusted is None:
        return [pair.one.method, pair.other.method, *[MISSING] * 5, answer(pair)]
    interval = MISSING
    if pair.low is not None and pair.high is not None:
        interval = f"{significant(0.0 - pair.high, 3)} … {significant(0.0 - pair.low, 3)}"
    # Shown as `one` minus `other`, as the sentence reads.
    return [
        pair.one.method,
        pair.other.method,
        significant(0.0 - found.difference.mean, 3),
        interval,
        p_value(pair.p_adjusted),
        *(MISSING if p is None else p_value(p) for p in (found.sign_flip, found.wilcoxon)),
        pair.answer if pair.answer != "undecided" else answer(pair),
    ]


def _remarks(groups: Sequence[Ranking], pairs: Sequence[Contrast]) -> list[str]:
    samples = [sample for group in groups for sample in group.samples]
    tested = [pair for pair in pairs if pair.comparison is not None]
    paired = sum(pair.comparison is not None and pair.comparison.method == "paired t" for pair in tested)
    remarks = []
    if tested:
        remarks = [
            f"p: of no difference, two-sided, corrected for {len(tested)} pairs (Holm); {paired} paired by seed (t), "
            f"{len(tested) - paired} by Welch's t. A pair is decided at p ≤ {ERROR:g}.",
            "Sign-flip and Wilcoxon: the same question without normality, not corrected; "
            "n pairs give no p below 2 / 2ⁿ.",
            f"Intervals are of one pair. 'see': found with probability {POWER:g}, corrected for all pairs. "
            "Cells that share a letter are not separated.",
        ]
    if any(len(g.samples) > 1 and not any(g.letters) and any(len(s.values) > 1 for s in g.samples) for g in groups):
        remarks.append("No letters where more than 26 groups would be needed.")
    if any(sample.components is not None for sample in samples):
        remarks.append(
            "sd of training: how much training again changes the value, with drawing samples taken out; sd of "
            "sampling: how much drawing samples again changes it."
        )
    explained = [f"{s.cell} {s.metric}" for s in samples if s.components is not None and s.components.remark]
    if explained:
        shown = ", ".join(explained[:3]) + (f" and {len(explained) - 3} more" if len(explained) > 3 else "")
        remarks.append(f"An sd of training of 0: the seeds differ by no more than drawing samples explains ({shown}).")
    remarks += [f"{UNEQUAL[0].upper()}{UNEQUAL[1:]}."] if any(sample.raced for sample in samples) else []
    remarks += [
        f"{sample.cell} {sample.metric}: left out {', '.join(sample.left_out)}."
        for sample in samples
        if sample.left_out
    ]
    return remarks


def _cell(sample: Sample, letters: str) -> dict[str, Any]:
    found, parts = mean_and_error([*sample.values.values()]), sample.components
    return {
        "cell": sample.cell,
        "model": sample.model,
        "values": {str(seed): value for seed, value in sample.values.items()},
        "mean": found.value,
        "standard_error": found.standard_error,
        "variance_components": parts,
        "letters": letters,
        "left_out": sample.left_out,
    }


def _pair(pair: Contrast) -> dict[str, Any]:
    found = pair.comparison
    return {
        "metric": pair.one.metric,
        "dataset": pair.one.dataset,
        "one": pair.one.cell,
        "other": pair.other.cell,
        "difference": None if found is None else -found.difference.mean,
        "low": None if pair.high is None else -pair.high,
        "high": None if pair.low is None else -pair.low,
        "test": None if found is None else found.description,
        "p_value": None if found is None else found.p_value,
        "p_adjusted": pair.p_adjusted,
        "p_sign_flip": None if found is None else found.sign_flip,
        "p_wilcoxon": None if found is None else found.wilcoxon,
        "detectable": pair.sees,
        "answer": pair.answer,
        "conclusion": answer(pair),
    }
