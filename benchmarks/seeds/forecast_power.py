"""Does a campaign of the forecast size find the difference as often as `genbench power` says? By simulation.

    python benchmarks/seeds/forecast_power.py --out results/reference/forecast-power.json

A case is a true difference between two models, with true variances of training and sampling, and perhaps further models
in the same comparison. The planner forecasts the number of seeds from a pilot of 2,000 seeds, which knows the variance
almost exactly. Campaigns with that many seeds are then drawn and compared as `genbench compare RUN` compares them. The
standard error of a power of 80 % from 2,000 campaigns is 0.9 points.

The second part is about pilots of few seeds: the planner forecasts from each of many pilots, and the true power of the
forecast number of seeds is computed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from pathlib import Path
from typing import Any

from genbench.gate.contrasts import contrasts
from genbench.gate.power_forecast import forecast
from genbench.gate.samples import Sample
from genbench.stats.power_of_t import paired_power

DETECT, ERROR = 0.05, 0.05
MEAN = 40.0  # of the better models
GAP = MEAN * DETECT / (1 - DETECT / 2)  # by which the last is worse: 5 % of the mean of the two


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=2_000)
    parser.add_argument("--pilots", type=int, default=300)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    draw = random.Random(18)
    report: dict[str, Any] = {"campaigns": arguments.campaigns, "known": [], "pilots": []}
    for models, training, sampling, shared, power in (
        (2, 1.0, 0.4, 0.0, 0.8),
        (2, 2.0, 0.4, 0.0, 0.8),
        (2, 0.5, 1.5, 0.0, 0.8),
        (2, 2.0, 0.4, 2.0, 0.9),
        (2, 1.0, 0.4, 0.0, 0.5),
        (3, 1.0, 0.4, 0.0, 0.8),
        (6, 1.0, 0.4, 0.0, 0.8),
    ):
        known = achieved(draw, models, training, sampling, shared, power, arguments.campaigns)
        report["known"].append(known)
        print(
            f"{models} models, sd of training {training:g}, of sampling {sampling:g}, shared {shared:g}: "
            f"{known['seeds']} seeds, forecast {100 * known['forecast']:.1f} %, found {100 * known['found']:.1f} %",
            flush=True,
        )
    for seeds in (3, 5, 10, 20):
        pilots = from_pilots(draw, seeds, arguments.pilots)
        report["pilots"].append(pilots)
        print(
            f"pilot of {seeds} seeds: true power of the forecast {100 * pilots['mean']:.0f} % on average, "
            f"{100 * pilots['low']:.0f} to {100 * pilots['high']:.0f} % in 80 of 100 pilots; the range of seeds holds "
            f"the right number in {100 * pilots['covered']:.0f} %",
            flush=True,
        )
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def campaign(
    draw: random.Random, models: int, seeds: int, training: float, sampling: float, shared: float
) -> list[Sample]:
    """Return one metric of some models over the same seeds; the last model is worse than the others."""
    common = [draw.gauss(0, shared) for _ in range(seeds)]
    sd = math.hypot(training, sampling)
    found = []
    for place in range(models):
        mean = MEAN + (GAP if place == models - 1 else 0)
        name = f"model {place}"
        found.append(
            Sample(
                cell=name,
                method=name,
                model=name,
                dataset="simulated",
                metric="fd",
                direction="lower",
                comparable="",
                values={n: mean + common[n] + draw.gauss(0, sd) for n in range(seeds)},
                errors=dict.fromkeys(range(seeds), sampling),
                samples=2_000,
                images=60_000,
                seconds=60,
            )
        )
    return found


def achieved(
    draw: random.Random, models: int, training: float, sampling: float, shared: float, power: float, campaigns: int
) -> dict[str, Any]:
    """Return the forecast and the share of campaigns that find the first model better than the last."""
    ends = "model 0", f"model {models - 1}"
    plan = forecast(campaign(draw, models, 2_000, training, sampling, shared), DETECT, ERROR, power)
    pair = next(pair for pair in plan.pairs if (pair.one.model, pair.other.model) == ends)
    assert pair.seeds is not None
    found = 0
    for _ in range(campaigns):
        answers = contrasts(campaign(draw, models, pair.seeds, training, sampling, shared))
        found += any(one.answer == "better" for one in answers if (one.one.model, one.other.model) == ends)
    return {
        "models": models,
        "training": training,
        "sampling": sampling,
        "shared": shared,
        "seeds": pair.seeds,
        "forecast": paired_power(pair.difference, pair.spread, pair.seeds, ERROR / len(plan.pairs)),
        "found": found / campaigns,
    }


def from_pilots(draw: random.Random, seeds: int, pilots: int) -> dict[str, Any]:
    """Return the true power of forecasts from pilots of this many seeds, sd of training 2, of sampling 0.4."""
    spread = math.sqrt(2) * math.hypot(2.0, 0.4)
    right = next(n for n in range(2, 1000) if paired_power(GAP, spread, n, ERROR) >= 0.8)
    powers, covered = [], 0
    for _ in range(pilots):
        (pair,) = forecast(campaign(draw, 2, seeds, 2.0, 0.4, 0.0), DETECT, ERROR, 0.8).pairs
        powers.append(paired_power(GAP, spread, pair.seeds or 100_000, ERROR))
        covered += (pair.seeds_low or 100_000) <= right <= (pair.seeds_high or 100_000)
    tenths = statistics.quantiles(powers, n=10)
    return {
        "pilot": seeds,
        "right": right,
        "mean": statistics.mean(powers),
        "low": tenths[0],
        "high": tenths[-1],
        "covered": covered / pilots,
    }


if __name__ == "__main__":
    main()
