"""The output of `genbench calibrate`."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from genbench.gate.quantity import NAMES
from genbench.report.numbers import seconds
from genbench.results.calibration import Calibration, Rates

HEADINGS = ("truth", "limit", "regressed", "passed", "inconclusive", "blocks")


def text(calibrations: Sequence[Calibration]) -> str:
    """Return one table per cell, with the precision and duration of its comparisons."""
    return "\n".join(_one(calibration) for calibration in calibrations)


def _one(calibration: Calibration) -> str:
    rows = [_row(rates) for rates in calibration.rates]
    table = tabulate(rows, HEADINGS, disable_numparse=True, colalign=("left", *["right"] * 5))
    needed = calibration.rates[0].median_blocks * calibration.block_seconds
    return (
        f"{calibration.cell}, by {NAMES[calibration.quantity]}: {len(calibration.same)} blocks of the same code with a "
        f"spread of {100 * calibration.spread:.1f} %; {calibration.decisions:,} decisions replayed from them\n\n"
        f"{table}\n\n"
        f"Detects {100 * calibration.detectable:.1f} % or more on this machine, 95 times out of 100. A comparison of "
        f"the same code takes {seconds(needed)} (median).\n"
    )


def _row(rates: Rates) -> list[str]:
    truth = f"{100 * rates.slowdown:g} % slower" if rates.slowdown else "the same code"
    shares = (rates.regressed, rates.passed, rates.inconclusive)
    return [
        truth,
        f"{100 * rates.limit:g} %",
        *(f"{100 * share:.1f} %" for share in shares),
        f"{rates.median_blocks:g}",
    ]
