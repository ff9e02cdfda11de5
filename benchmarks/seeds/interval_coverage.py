"""Coverage of the intervals over seeds, and how often equal cells are called different, by simulation.

    python benchmarks/seeds/interval_coverage.py --out results/reference/interval-coverage.json

Each case draws data whose true value is known, asks the functions that `genbench compare` asks, and counts how many
95 % intervals hold the truth. With 10,000 repetitions the standard error of a share of 95 % is 0.2 %.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from genbench.stats.holm import holm
from genbench.stats.seed_comparison import compare_seeds
from genbench.stats.variance_components import variance_components

Case = Callable[[random.Random], bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name, nominal, case in cases():
        draw = random.Random(name)
        share = sum(case(draw) for _ in range(arguments.repetitions)) / arguments.repetitions
        found.append({"case": name, "nominal": nominal, "share": share})
        print(f"{100 * share:6.2f} % (nominal {100 * nominal:g} %)  {name}", flush=True)
    if arguments.out:
        report = {"repetitions": arguments.repetitions, "cases": found}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def cases() -> list[tuple[str, float, Case]]:
    """Return each case with its nominal share."""
    found: list[tuple[str, float, Case]] = []
    for seeds in (2, 3, 5, 10):
        for shared in (0.0, 2.0):
            name = f"paired t, {seeds} seeds, {'equal seeds make values alike' if shared else 'seeds share nothing'}"
            found.append((name, 0.95, partial(paired_covers, seeds=seeds, shared=shared)))
    for one, other, spread in ((3, 3, 1.0), (3, 3, 3.0), (5, 5, 3.0), (5, 10, 3.0), (10, 5, 3.0)):
        name = f"Welch, {one} and {other} seeds, sd 1 and {spread:g}"
        found.append((name, 0.95, partial(welch_covers, one=one, other=other, spread=spread)))
    for seeds in (3, 5, 10):
        for training in (0.5, 1.0, 4.0):
            name = f"training variance, {seeds} seeds, sd {training:g}, sampling sd 1"
            found.append((name, 0.95, partial(component_covers, seeds=seeds, training=training, wrong=0.0)))
        name = f"training variance, {seeds} seeds, sd 1, sampling sd 1, stated with an error of 30 % in each seed"
        found.append((name, 0.95, partial(component_covers, seeds=seeds, training=1.0, wrong=0.3)))
    for seeds in (3, 5):
        name = f"any of 15 pairs of six equal cells called different, {seeds} seeds"
        found.append((name, 0.05, partial(any_false_difference, seeds=seeds)))
    return found


def paired_covers(draw: random.Random, seeds: int, shared: float) -> bool:
    common = [draw.gauss(0, shared) for _ in range(seeds)]
    base = {n: common[n] + draw.gauss(0, 1) for n in range(seeds)}
    head = {n: 0.7 + common[n] + draw.gauss(0, 1) for n in range(seeds)}
    low, high = compare_seeds(base, head).difference.bounds(0.025)
    return low <= 0.7 <= high


def welch_covers(draw: random.Random, one: int, other: int, spread: float) -> bool:
    base = {n: draw.gauss(0, 1) for n in range(one)}
    head = {n + 100: 0.7 + draw.gauss(0, spread) for n in range(other)}
    low, high = compare_seeds(base, head).difference.bounds(0.025)
    return low <= 0.7 <= high


def component_covers(draw: random.Random, seeds: int, training: float, wrong: float) -> bool:
    """Draw values with a sampling sd of 1; `wrong`: the sd of what each seed states as its standard error."""
    values = [draw.gauss(0, training) + draw.gauss(0, 1) for _ in range(seeds)]
    found = variance_components(values, [abs(draw.gauss(1, wrong)) for _ in range(seeds)])
    return math.sqrt(found.low) <= training <= math.sqrt(found.high)


def any_false_difference(draw: random.Random, seeds: int) -> bool:
    cells = [{n: draw.gauss(0, 1) for n in range(seeds)} for _ in range(6)]
    pairs = {(i, j): compare_seeds(cells[i], cells[j]).p_value for i, j in combinations(range(6), 2)}
    return min(holm(pairs).values()) <= 0.05


if __name__ == "__main__":
    main()
