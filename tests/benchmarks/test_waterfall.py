"""The waterfall of a run: what each part took, from the times at which activities began."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from waterfall import draw, summarise

EVENTS = [
    ("start", 0.0),
    ("loading data", 2.0),
    ("measuring reference rows", 3.0),
    ("between", 4.0),
    ("building networks", 4.5),
    ("training", 5.0),
    ("evaluating", 8.0),
    ("features of fashion-cnn: 10 of 200", 8.2),
    ("training", 8.5),
    ("counting operations", 11.5),
    ("finished", 12.0),
    ("end", 14.0),
]


def test_the_parts_add_up_and_only_wanted_work_is_no_overhead() -> None:
    found = summarise(EVENTS)
    assert found["parts"] == {
        "start": 2.0, "data": 1.5, "references": 1.0, "between": 0.5, "training": 6.0, "evaluation": 0.5,
        "counting": 0.5, "report": 2.0,
    }  # fmt: skip
    assert sum(found["parts"].values()) == found["seconds"] == 14.0
    assert found["overhead"] == pytest.approx(1 - 7.5 / 14)
    lines = draw(found).splitlines()
    assert len(lines) == 10 + 2
    assert lines[-1].endswith("46.4%")
