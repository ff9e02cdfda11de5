"""Decisions replayed from recorded blocks."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from genbench.gate.replay import recentred, replay
from genbench.gate.sequential import LookSchedule
from genbench.gate.verdict import Verdict


def test_recentred_blocks_have_exactly_the_slowdown_and_the_same_spread() -> None:
    recorded = [0.05, 0.07, 0.09, 0.01]
    moved = recentred(recorded, 0.05)
    assert math.expm1(statistics.mean(moved)) == pytest.approx(0.05)
    assert statistics.stdev(moved) == pytest.approx(statistics.stdev(recorded))
    assert [b - a for a, b in zip(recorded, moved, strict=True)] == pytest.approx([moved[0] - recorded[0]] * 4)


def test_a_replay_of_clear_cut_blocks_has_one_verdict_at_the_first_look() -> None:
    found = replay([0.2] * 5, 0.05, LookSchedule(), 50, random.Random(0))
    assert found.shares == {Verdict.REGRESSED: 1.0}
    assert found.median_blocks == LookSchedule().blocks[0]


def test_decisions_within_some_blocks_are_those_of_the_looks_so_far() -> None:
    draws = random.Random(1)
    found = replay([draws.gauss(0.06, 0.03) for _ in range(40)], 0.0, LookSchedule(), 400, random.Random(0))
    shares = [found.share(Verdict.REGRESSED, within) for within in (0, *LookSchedule().blocks)]
    assert shares == sorted(shares)
    assert shares[0] == 0 < shares[1] < shares[-1] == found.share(Verdict.REGRESSED)
    assert found.decisions == 400


def test_a_replay_without_blocks_is_rejected() -> None:
    with pytest.raises(ValueError, match="recorded blocks"):
        replay([], 0.05, LookSchedule(), 10, random.Random(0))
