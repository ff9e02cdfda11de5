"""Number formatting: as many digits as the error supports, and no more."""

from __future__ import annotations

import math

from genbench.stats.intervals import half_width

MISSING = "–"


def count(number: float) -> str:
    """Return a whole number with thousands separated: ``60,000``."""
    return f"{round(number):,}"


def counted(number: float) -> str:
    """Return an exact count, which is a fraction if something happens in only some steps: ``246``, ``61.5``."""
    return count(number) if number == round(number) else f"{number:,.4f}".rstrip("0")


def significant(number: float, digits: int = 4) -> str:
    """Return `number` to that many significant digits, thousands separated, without an exponent if possible."""
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    exponent = math.floor(math.log10(abs(float(f"{number:.{digits - 1}e}"))))
    if not -5 <= exponent <= 14:
        return f"{number:.{digits - 1}e}"
    return _fixed(number, digits - 1 - exponent)


def with_error(value: float, error: float | None) -> str:
    """Return ``12.34 ± 0.56``: the error to two significant digits, the value to the same decimal place.

    Without a known error the value has four significant digits.
    """
    if error is None or not (math.isfinite(error) and error > 0):
        return significant(value)
    decimals = 1 - math.floor(math.log10(float(f"{error:.1e}")))
    if decimals > 7:  # too many zeros to read: one exponent for both
        exponent = math.floor(math.log10(max(abs(value), error)))
        scale = 10.0**exponent
        return f"({with_error(value / scale, error / scale)})e{exponent}"
    return f"{_fixed(value, decimals)} ± {_fixed(error, decimals)}"


def rate(number: float) -> str:
    """Return a speed: three significant digits, or the whole number if that has more."""
    return significant(number, 3) if not 100 <= number < math.inf else count(number)


def with_interval(value: float, low: float, high: float) -> str:
    """Return ``1,234 ±2%``: the percentage is the larger half of [low, high]; omitted if the two are equal."""
    text = rate(value)
    if not value > 0 or low == high:
        return text
    percent = 100 * half_width(value, low, high)
    return f"{text} ±{percent:.1f}%" if percent < 0.95 else f"{text} ±{percent:.0f}%"


def change(share: float | None) -> str:
    """Return a relative change: ``+4.9 %``."""
    return MISSING if share is None else f"{100 * share:+.1f} %"


def p_value(probability: float) -> str:
    """Return a p-value: ``0.043``, ``0.43``, ``< 0.001``."""
    if probability < 0.001:
        return "< 0.001"
    return f"{probability:.3f}" if probability < 0.1 else f"{probability:.2f}"


def p_relation(probability: float) -> str:
    """Return a p-value as it follows the letter p in a sentence: ``= 0.043``, ``< 0.001``."""
    text = p_value(probability)
    return text if text.startswith("<") else f"= {text}"


def parameters(number: float) -> str:
    """Return a large count with its unit: ``6.34 M`` parameters, ``2.28 G`` operations."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * limit:
            return f"{significant(number / limit, 3)} {unit}"
    return count(number)


def seconds(number: float) -> str:
    """Return a readable duration: ``0.4 s``, ``34 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if not math.isfinite(number) or number < 0:
        return "? s"
    if number < 9.95:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _fixed(number: float, decimals: int) -> str:
    """Return `number` rounded to `decimals` places, possibly negative, without a negative zero."""
    rounded = round(number, decimals)
    return f"{rounded if rounded else 0.0:,.{max(decimals, 0)}f}"
