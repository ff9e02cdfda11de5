"""docs/statistics.md: its commands are typed, its tables and numbers are those that they print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from example_runs import cell, comparability, estimate, identity, stored

from genbench.cli import invoke
from genbench.gate.race import Boundaries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())
COMMANDS = re.findall(r"^    (\S.*)$", PAGE, flags=re.MULTILINE)
POWER = json.loads((ROOT / "results" / "reference" / "forecast-power.json").read_text(encoding="utf-8"))
COVERAGE = json.loads((ROOT / "results" / "reference" / "interval-coverage.json").read_text(encoding="utf-8"))
METRICS = json.loads((ROOT / "results" / "reference" / "metric-interval-coverage.json").read_text(encoding="utf-8"))
RACES = json.loads((ROOT / "results" / "reference" / "race-errors.json").read_text(encoding="utf-8"))
SAVINGS = json.loads((ROOT / "results" / "reference" / "race-savings.json").read_text(encoding="utf-8"))


def printed(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    assert invoke(shlex.split(line)[1:]) == 0
    return capsys.readouterr().out


def rows(table: str) -> list[list[str]]:
    return [[entry.strip() for entry in line.strip("|").split("|")] for line in table.splitlines() if "---" not in line]


def test_intervals_of_metrics_hold_the_truth_as_often_as_the_page_says() -> None:
    assert "It is 93 to 97 %, except within four limits" in FLAT
    every = {one["case"]: round(100 * one["share"], 1) for one in METRICS["cases"]}
    few = {case: share for case, share in every.items() if case.startswith("fld") and "60 samples" in case}
    plain = {case: share for case, share in every.items() if case.startswith(("fd, ", "fid --explain"))}
    equal, far = ([share for case, share in plain.items() if name in case] for name in ("equal", "far"))
    assert f"in {min(equal):.0f} to {max(equal):.0f} % where samples are as good as the data" in FLAT
    assert f"in {min(far):.0f} to {max(far):.0f} % where they are clearly worse" in FLAT
    limits = {one["case"] for one in METRICS["cases"] if one.get("limit")}
    shares = {case: share for case, share in every.items() if case not in {*limits, *few}}
    low, high = min(few.values()), max(few.values())
    assert f"With 60 samples, intervals of `fld` hold the truth in {low:g} to {high:g} %" in FLAT
    assert f"with 120 in {shares['fld, equal, 120 samples of 6 features']:g} %" in FLAT
    assert all(93 <= share <= 97 for share in shares.values())
    assert {case.split(",")[0] for case in limits} - {"fld"} == {"fd", "fid --explain", "vendi-qinf"}


def test_the_commands_of_the_page_are_found() -> None:
    assert [command.split()[:2] for command in COMMANDS] == [
        *(["genbench", "compare"], ["genbench", "table"], ["genbench", "compare"], ["genbench", "power"]),
        ["genbench", "run"],
        *(["python", "benchmarks/seeds/race_errors.py"], ["python", "benchmarks/seeds/race_savings.py"]),
        *(["python", "benchmarks/seeds/interval_coverage.py"], ["python", "benchmarks/seeds/forecast_power.py"]),
    ]
    assert all((ROOT / command.split()[1]).is_file() for command in COMMANDS if command.startswith("python"))


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


def test_the_boundaries_of_a_race_are_those_of_the_code() -> None:
    limits = Boundaries(candidates=8, most_seeds=20, error=0.05)
    (table,) = re.findall(r"^\| after seeds \|.*?(?=\n\n)", PAGE, flags=re.MULTILINE | re.DOTALL)
    seeds, boundaries = rows(table)
    assert boundaries[1:] == [f"{limits.t(int(n)):.{1 if int(n) > 6 else 0}f}" for n in seeds[1:]]


def test_the_simulated_races_are_those_of_the_stored_results() -> None:
    (table,) = re.findall(r"^\| truth \|.*?(?=\n\n)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert [row[1:] for row in rows(table)[1:]] == [
        [
            f"{100 * one['best_dropped']:.1f} %",
            f"{100 * one['low']:.1f} to {100 * one['high']:.1f} %",
            f"{100 * one['spent']:.0f} %",
            f"{one['left']:.1f}",
            f"{one['full_left']:.1f}",
        ]
        for one in RACES["cases"]
    ]
    *sound, broken = RACES["cases"]
    assert all(one["high"] <= RACES["error"] for one in sound) and broken["low"] > RACES["error"]
    assert all(one["contradicts"] == 0 for one in RACES["cases"])
    assert f"{len(RACES['cases']) * RACES['campaigns']:,} campaigns" in FLAT


def test_the_real_race_decided_what_the_full_plan_decides_for_less() -> None:
    assert SAVINGS["same_decisions"] and SAVINGS["saved"]["cells"] == SAVINGS["saved"]["images"] >= 0.3
    assert SAVINGS["same_values"]["cells_in_both"] == SAVINGS["same_values"]["equal"]
    assert f"{SAVINGS['race']['cells']} cells instead of {SAVINGS['full_plan']['cells']}" in FLAT
    assert f"{100 * SAVINGS['saved']['images']:.1f} % fewer images" in FLAT
