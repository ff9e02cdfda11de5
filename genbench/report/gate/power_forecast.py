"""The output of `genbench power`: what the present seeds see, what it takes to see more, and what that costs."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from genbench.gate.power_forecast import MORE_SAMPLES, PairForecast, Plan
from genbench.report.numbers import MISSING, count, significant
from genbench.stats.power_of_t import MOST_SEEDS

_PAIRS = ("cell", "and", "difference", "sd of one seed", "seeds", "range", "seeds now", "see now")
_WORTHWHILE = 0.9  # of the seeds: more samples help if they bring the seeds below this share
RACED = (
    "a race decided how many seeds these cells have: the forecast of a pair of which one was dropped rests on the "
    "seeds up to then, whose difference is probably larger than that of fresh seeds"
)
_COSTS = ("cell", "seeds", "samples", "images", "hours")


def text(plan: Plan) -> str:
    """Return the tables and sentences for a terminal."""
    first = plan.pairs[0].one
    lines = [
        f"{first.metric}: to see a difference of {100 * plan.share:g} % with a probability of {100 * plan.power:g} %, "
        f"and any false difference with at most {100 * plan.error:g} %",
        "",
    ]
    aligned = ("left", "left", *["right"] * 6)
    lines += [tabulate(map(_pair_row, plan.pairs), _PAIRS, disable_numparse=True, colalign=aligned), ""]
    costs = [
        [
            cost.cell,
            _seeds(cost.seeds),
            MISSING if cost.samples is None else count(cost.samples),
            MISSING if cost.images is None else count(cost.images),
            MISSING if cost.hours is None else significant(cost.hours, 3),
        ]
        for cost in plan.costs
    ]
    lines += [tabulate(costs, _COSTS, disable_numparse=True, colalign=("left", *["right"] * 4)), ""]
    said: dict[str, list[PairForecast]] = {}
    for pair in plan.pairs:
        said.setdefault(advice(pair).partition(":")[0], []).append(pair)
    lines += [line for start, alike in said.items() for line in _sentences(start, alike)]
    lines += [
        "",
        "Range: the seeds if the spread lies at either end of its 95 % interval. It is wide after few seeds: run some, "
        "then ask again.",
        "Hours: of cells like the stored ones, on the machine that made them, without the time to draw more samples.",
        *([f"{RACED[0].upper()}{RACED[1:]}."] if _is_raced(plan) else []),
        *(f"Left out: {reason}." for reason in plan.left_out),
    ]
    return "\n".join(lines) + "\n"


def document(plan: Plan) -> dict[str, Any]:
    """Return everything for programs."""
    return {
        "detect": plan.share,
        "error": plan.error,
        "power": plan.power,
        "pairs": [
            {
                "metric": pair.one.metric,
                "dataset": pair.one.dataset,
                "one": pair.one.cell,
                "other": pair.other.cell,
                "difference": pair.difference,
                "spread": pair.spread,
                "sampling_share": pair.sampling_share,
                "seeds": pair.seeds,
                "seeds_low": pair.seeds_low,
                "seeds_high": pair.seeds_high,
                "times_samples": MORE_SAMPLES,
                "seeds_with_more_samples": pair.seeds_with_more_samples,
                "seeds_with_all_samples": pair.seeds_with_all_samples,
                "present_seeds": pair.present,
                "sees": pair.sees,
                "sees_with_all_samples": pair.sees_with_all_samples,
                "advice": advice(pair),
            }
            for pair in plan.pairs
        ],
        "cells": plan.costs,
        "left_out": plan.left_out,
        "remark": RACED if _is_raced(plan) else "",
    }


def _is_raced(plan: Plan) -> bool:
    return any(sample.raced for pair in plan.pairs for sample in (pair.one, pair.other))


def advice(pair: PairForecast) -> str:
    """Return whether more samples help, or only more seeds."""
    if pair.sees <= pair.difference:
        return f"the present {pair.present} seeds suffice"
    if pair.sampling_share is None:
        return "the error of a value is unknown, so what more samples bring is unknown too"
    share = f"{100 * pair.sampling_share:.0f} % of the variance is from drawing samples"
    most, least = pair.seeds, pair.seeds_with_all_samples
    if most == least or (most is not None and least is not None and least > _WORTHWHILE * most):
        return f"only more seeds help: {share}"
    return (
        f"{share}; {MORE_SAMPLES} times the samples: {_seeds(pair.seeds_with_more_samples)} seeds, "
        f"any number of samples: {_seeds(pair.seeds_with_all_samples)}"
    )


def _sentences(start: str, pairs: list[PairForecast]) -> list[str]:
    """Return the advice about pairs: one line for all where it begins alike."""
    shares = [pair.sampling_share for pair in pairs if pair.sampling_share is not None]
    if len(pairs) == 1 or ";" in start or not shares:
        return [f"{pair.one.method} and {pair.other.method}: {advice(pair)}." for pair in pairs]
    low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
    return [f"{len(pairs)} pairs: {start}; {low} to {high} % of the variance is from drawing samples."]


def _pair_row(pair: PairForecast) -> list[str]:
    return [
        pair.one.method,
        pair.other.method,
        significant(pair.difference, 3),
        significant(pair.spread, 3),
        _seeds(pair.seeds),
        f"{_seeds(pair.seeds_low)} … {_seeds(pair.seeds_high)}",
        str(pair.present),
        significant(pair.sees, 3),
    ]


def _seeds(seeds: int | None) -> str:
    return f"> {count(MOST_SEEDS)}" if seeds is None else count(seeds)
