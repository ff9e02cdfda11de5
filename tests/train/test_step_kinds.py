"""The kinds of steps, and how often each occurs."""

from __future__ import annotations

from fractions import Fraction

import pytest

from genbench.train.step_kinds import step_kinds


def test_kinds_of_steps_are_weighted_by_how_often_they_occur() -> None:
    assert step_kinds([1, 1]) == {0: Fraction(1)}
    assert step_kinds([1, 4]) == {0: Fraction(1, 4), 1: Fraction(3, 4)}
    both = step_kinds([2, 3])
    assert both == {0: Fraction(1, 6), 1: Fraction(1, 3), 2: Fraction(1, 3), 3: Fraction(1, 6)}
    assert list(both) == [0, 1, 2, 3]
    assert step_kinds([4, 16]) == {0: Fraction(1, 16), 1: Fraction(3, 4), 4: Fraction(3, 16)}


def test_intervals_that_hardly_ever_coincide_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"intervals 9967, 9973 coincide only every 99,400,891 steps"):
        step_kinds([9973, 9967])
