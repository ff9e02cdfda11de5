"""docs/statistics.md: its commands are typed, its tables and numbers are those that they print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from example_runs import cell, comparability, estimate, identity, stored

from genbench.cli import invoke

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())
COMMANDS = re.findall(r"^    (\S.*)$", PAGE, flags=re.MULTILINE)
POWER = json.loads((ROOT / "results" / "reference" / "forecast-power.json").read_text(encoding="utf-8"))
COVERAGE = json.loads((ROOT / "results" / "reference" / "interval-coverage.json").read_text(encoding="utf-8"))


def printed(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    assert invoke(shlex.split(line)[1:]) == 0
    return capsys.readouterr().out


def rows(table: str) -> list[list[str]]:
    return [[entry.strip() for entry in line.strip("|").split("|")] for line in table.splitlines() if "---" not in line]


def test_the_commands_of_the_page_are_found() -> None:
    assert [command.split()[:2] for command in COMMANDS] == [
        *(["genbench", "compare"], ["genbench", "table"], ["genbench", "compare"], ["genbench", "power"]),
        *(["python", "benchmarks/seeds/interval_coverage.py"], ["python", "benchmarks/seeds/forecast_power.py"]),
    ]
    assert all((ROOT / command.split()[1]).is_file() for command in COMMANDS[4:])


def test_the_first_table_is_what_compare_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = printed(COMMANDS[0], capsys, monkeypatch)
    (table,) = re.findall(r"^\| cell \|.*?(?=\n\n)", PAGE, flags=re.MULTILINE | re.DOTALL)
    shown = [re.split(r"\s{2,}", line.strip()) for line in said.splitlines()]
    assert all(row in shown for row in rows(table))
    (sees,) = re.findall(r"`(these seeds see \S+ or more)`", FLAT)
    assert sees in said


def test_the_table_has_the_letters_of_compare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (table,) = re.findall(r"^\| cell \|.*?(?=\n\n)", PAGE, flags=re.MULTILINE | re.DOTALL)
    expected = {row[0].rpartition(" ")[2]: row[-1] for row in rows(table)[1:]}
    said = printed(f"{COMMANDS[1]} --format json --no-references", capsys, monkeypatch)
    assert {row["loss"]: row["fd-fashion-cnn"]["letters"] for row in json.loads(said)["rows"]} == expected


def test_power_says_what_the_page_says(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = printed(COMMANDS[3], capsys, monkeypatch)
    assert "15 pairs: only more seeds help; 1 to 15 % of the variance is from drawing samples." in said
    found = json.loads(printed(f"{COMMANDS[3]} --json", capsys, monkeypatch))
    shares = [pair["sampling_share"] for pair in found["pairs"]]
    assert (round(100 * min(shares)), round(100 * max(shares))) == (1, 15)
    assert all(pair["advice"].startswith("only more seeds help") for pair in found["pairs"])


def test_runs_are_ranked_over_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        cells = [
            cell(
                f"{model}-{name}",
                identity(model, dataset=name),
                estimates=[estimate("fd-cnn", value)],
                comparability=comparability(data_hash=name),
            )
            for model, value in (("gan", 3.0), ("vae", 2.0))
        ]
        stored(tmp_path / name, *cells)
    said = printed(COMMANDS[2].replace("RUN RUN", f"{tmp_path / 'one'} {tmp_path / 'two'}"), capsys, monkeypatch)
    assert "Nemenyi's critical difference" in said


def test_the_simulated_figures_are_those_of_the_stored_results() -> None:
    (table,) = re.findall(r"^\| pilot \|.*?(?=\n\n)", PAGE, flags=re.MULTILINE | re.DOTALL)
    expected = [
        [
            f"{one['pilot']} seeds",
            f"{100 * one['mean']:.0f} %",
            f"{100 * one['low']:.0f} to {100 * one['high']:.0f} %",
        ]
        for one in POWER["pilots"]
    ]
    assert rows(table)[1:] == expected
    assert {one["right"] for one in POWER["pilots"]} == {int(n) for n in re.findall(r"for which (\d+) seeds", FLAT)}
    covered = [100 * one["covered"] for one in POWER["pilots"]]
    assert f"in {min(covered):.0f} to {max(covered):.0f} % of these pilots" in FLAT
    differences = [100 * (one["found"] - one["forecast"]) for one in POWER["known"]]
    assert max(map(abs, differences)) < 5
    assert f"from {min(differences):.1f} to +{max(differences):.1f} points" in FLAT
    intervals = [100 * one["share"] for one in COVERAGE["cases"] if one["nominal"] == 0.95]
    assert all(abs(share - 95) <= 2 for share in intervals)
    assert f"in {min(intervals):.1f} to {max(intervals):.1f} % of 10,000" in FLAT
    alarms = [100 * one["share"] for one in COVERAGE["cases"] if one["nominal"] == 0.05]
    assert f"{min(alarms):.1f} and {max(alarms):.1f} %" in FLAT
