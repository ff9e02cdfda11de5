"""Values relative to the reference points of their metric."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.gate.reference_scale import differs_from_null, is_better

numbers = st.integers(-1000, 1000).map(float)
errors = st.integers(0, 100).map(float)


def test_a_value_differs_from_its_null_by_two_standard_errors() -> None:
    assert differs_from_null(1.9, 0.5, 1.0) is False
    assert differs_from_null(2.0, 0.5, 1.0) is True
    assert differs_from_null(0.0, 0.5, 1.0) is True  # also if it is better
    assert differs_from_null(9.0, None, 1.0) is None  # unknown


def test_the_errors_of_independent_values_add_up_as_squares() -> None:
    assert is_better(10.0, 3.0, 20.0, 3.9, "lower") is True  # 2 · √(9 + 15.2) = 9.8
    assert is_better(10.0, 3.0, 20.0, 4.0, "lower") is False  # 2 · 5 = 10
    assert is_better(10.0, 3.0, 20.0, None, "lower") is None


@pytest.mark.parametrize("direction", ["lower", "higher"])
@given(numbers, errors, numbers, errors)
def test_of_two_values_at_most_one_is_better(
    direction: str, one: float, one_error: float, other: float, other_error: float
) -> None:
    way = "lower" if direction == "lower" else "higher"
    first = is_better(one, one_error, other, other_error, way)
    second = is_better(other, other_error, one, one_error, way)
    assert not (first and second)
    assert first == is_better(-one, one_error, -other, other_error, "higher" if way == "lower" else "lower")
    if one_error == other_error == 0:
        assert (first or second) == (one != other)
