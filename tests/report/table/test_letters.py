"""Letters in the table: those of `genbench compare`, for rows over several seeds alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_runs import cell, estimate, identity, stored

from genbench.cli import invoke
from genbench.commands.load import load
from genbench.report.table.letters import NONE, TOO_MANY
from genbench.results.schema import CellResult

VALUES = {
    "gan": [30.0, 31.0, 30.5, 30.2],
    "dcgan": [30.4, 30.9, 30.1, 31.0],
    "vae": [50.0, 52.5, 49.0, 51.0],
    "cvae": [40.0, 60.0, 50.0, 38.0],
}


def cells(values: dict[str, list[float]]) -> list[CellResult]:
    return [
        cell(f"{model}-{seed}", identity(model, seed=seed), estimates=[estimate("fd-cnn", value, 0.1)])
        for model, own in values.items()
        for seed, value in enumerate(own)
    ]


def test_letters_are_those_of_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(stored(tmp_path / "run", *cells(VALUES)).path)
    assert invoke(["compare", run, "--metric", "fd-cnn", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    expected = {one["model"]: one["letters"] for one in group["cells"]}
    assert expected["gan"] == expected["dcgan"] == "a" and expected["vae"] == "b" and expected["cvae"] == "ab"
    assert invoke(["table", run, "--letters", "--format", "json", "--no-references"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert {row["model"]: row["fd-cnn"]["letters"] for row in table["rows"]} == expected
    assert table["letters"].endswith("4 seeds each")


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("plain", "50.62 ± 0.75 b"),
        ("github", "50.62 ± 0.75<sup>b</sup>"),
        ("latex", r"50.62 $\pm$ 0.75$^{\mathrm{b}}$"),
        ("html", "50.62 ± 0.75<sup>b</sup>"),
    ],
)
def test_every_format_has_letters_and_what_they_mean(tmp_path: Path, format: str, shown: str) -> None:
    results = load(stored(tmp_path / "run", *cells(VALUES)).path)
    text = results.table(letters=True).text(format)
    assert shown in text
    assert "paired t where" in text and "Holm" in text
    assert "Holm" not in results.table().text(format)
    assert "Holm" not in results.table(["model"], letters=True).text(format)  # no column with letters is shown


def test_letters_need_two_rows_over_two_seeds(tmp_path: Path) -> None:
    alone = load(stored(tmp_path / "one", *cells({"gan": [30.0, 31.0], "vae": [50.0]})).path).table(letters=True)
    assert alone.footnotes["letters"] == NONE
    assert "fd-cnn letters" not in alone.records[0]
    mixed = load(stored(tmp_path / "two", *cells({**VALUES, "gan-small": [50.0]})).path).table(letters=True)
    found = {row["model"]: row["fd-cnn letters"] for row in mixed.records if row["kind"] == "cell"}
    assert found["gan-small"] is None and found["gan"] == "a"


def test_too_many_rows_have_no_letters(tmp_path: Path) -> None:
    many = {f"gan-{number}": [30.0, 31.0] for number in range(61)}
    assert load(stored(tmp_path / "run", *cells(many)).path).table(letters=True).footnotes["letters"] == TOO_MANY
