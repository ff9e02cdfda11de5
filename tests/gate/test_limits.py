"""A limit that is a share has one meaning, in every flag and in every table of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genbench.cli import invoke
from genbench.errors import UsageError
from genbench.gate.limits import Limits, parse_limit, parse_share, read_limits

AMBIGUOUS = r'can mean "5%" or, as a share, "500%"'


@pytest.mark.parametrize(
    ("written", "share"),
    [("5%", 0.05), (" 5 % ", 0.05), ("0.05", 0.05), (0.05, 0.05), (0, 0.0), ("0%", 0.0), (1, 1.0), ("500%", 5.0)],
)
def test_a_percentage_or_a_number_up_to_1_is_a_share(written: object, share: float) -> None:
    assert parse_share(written, "x") == pytest.approx(share, abs=1e-15)


@pytest.mark.parametrize("written", [5, 5.0, "5", "5.0", "+5", "5e0"])
def test_a_bare_number_above_1_is_rejected_with_both_readings(written: object) -> None:
    with pytest.raises(UsageError, match=AMBIGUOUS):
        parse_share(written, "x")


@pytest.mark.parametrize(
    "written",
    [-1, "-5%", "five", "", "%", "5%%", "1_0%", "٥%", "nan%", "inf%", float("nan"), float("inf"), 10**400, "9" * 400],
)
def test_anything_else_cannot_be_read(written: object) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        parse_share(written, "x")


@pytest.mark.parametrize(
    "table",
    [
        {"max-slowdown": 5},
        {"max-slowdown": "5"},
        {"max_slowdown": 5.0},
        {"counters": {"peak-bytes": 5}},
        {"counters": {"operations": "5"}},
        {"cells": {"gan": {"max-slowdown": 5}}},
        {"cells": {"gan": {"counters": {"flops-per-image": 5}}}},
    ],
)
def test_every_share_of_a_file_is_read_alike(table: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=AMBIGUOUS):
        read_limits(table)


def test_a_number_of_a_file_is_the_same_share_as_its_percentage() -> None:
    numbers = read_limits({"max-slowdown": 0.05, "counters": {"peak-bytes": 0.02}})
    assert numbers == read_limits({"max-slowdown": "5%", "counters": {"peak-bytes": "2%"}})
    assert numbers != Limits()


def test_a_number_for_a_metric_is_in_its_own_unit() -> None:
    assert parse_limit(5, "x").allowance(100.0) == 5.0
    assert parse_limit("5%", "x").allowance(100.0) == 5.0
    with pytest.raises(UsageError, match="in the unit of the metric"):
        parse_limit("5", "x")


REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "quick"


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "a", "b", "--limit", "5"],
        ["check", str(REFERENCE), "--baseline", "b", "--max-slowdown", "5"],
        ["ab", "--base", "main", "--max-slowdown", "5"],
        ["calibrate", "--max-slowdown", "5"],
        ["calibrate", "--slowdown", "5"],
    ],
)
def test_every_flag_rejects_a_bare_5(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(arguments) == 2
    message = capsys.readouterr().err
    assert f'{arguments[-2]} 5 is ambiguous: it can mean "5%" or, as a share, "500%"' in message
