"""Numbers for readers keep as many digits as their error supports."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.report import numbers


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (34.5678, 0.6543, "34.57 ± 0.65"),
        (34.5678, 0.0996, "34.57 ± 0.10"),
        (34.5678, 12.3, "35 ± 12"),
        (45_678.0, 1_234.0, "45,700 ± 1,200"),
        (-0.004, 0.1, "0.00 ± 0.10"),
        (0.0123456, 0.000123, "0.01235 ± 0.00012"),
        (1.2e-9, 3.4e-11, "(1.200 ± 0.034)e-9"),
        (34.5678, None, "34.57"),
        (34.5678, 0.0, "34.57"),
        (0.0, None, "0"),
        (123_456.0, None, "123,500"),
    ],
)
def test_value_with_error(value: float, error: float | None, text: str) -> None:
    assert numbers.with_error(value, error) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e5))
def test_rounding_loses_less_than_a_tenth_of_the_error(value: float, error: float) -> None:
    shown = [
        float(part) for part in re.findall(r"-?[\d.]+(?:e-?\d+)?", numbers.with_error(value, error).replace(",", ""))
    ]
    scale = 10.0 ** shown[2] if len(shown) == 3 else 1.0
    assert abs(shown[0] * scale - value) <= 0.0501 * error + 1e-9 * abs(value)
    assert shown[1] * scale == pytest.approx(error, rel=0.051)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (1234.0, 1210.0, 1240.0, "1,234 ±2%"),
        (1234.0, 1230.0, 1237.0, "1,234 ±0.3%"),
        (12.345, 6.0, 13.0, "12.3 ±51%"),
        (0.0, 0.0, 0.0, "0"),
        (1234.0, 1234.0, 1234.0, "1,234"),
    ],
)
def test_value_with_interval(value: float, low: float, high: float, text: str) -> None:
    assert numbers.with_interval(value, low, high) == text


def test_p_values() -> None:
    assert [numbers.p_value(p) for p in (1.0, 0.1, 0.043, 0.0012, 0.0009, 0.0)] == [
        *("1.00", "0.10", "0.043", "0.001", "< 0.001", "< 0.001")
    ]
    assert (numbers.p_relation(0.043), numbers.p_relation(0.0)) == ("= 0.043", "< 0.001")


def test_parameters() -> None:
    shown = [numbers.parameters(n) for n in (999, 1000, 3_576_704, 999_600, 12_786_560)]
    assert shown == ["999", "1.00 k", "3.58 M", "1.00 M", "12.8 M"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (float("nan"), "? s"),
    ],
)
def test_durations(number: float, text: str) -> None:
    assert numbers.seconds(number) == text
