"""`genbench explain`: a code in full, all codes, the nearest of a wrong one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import genbench
from genbench.cli import invoke


def test_a_code_is_explained_with_causes_remedies_an_example_and_a_page_in_80_columns() -> None:
    text = genbench.explain("GB504").text()
    assert text.startswith("GB504: A training diverged\n")
    for part in (
        "\nUsual causes\n  - ",
        "\nWhat helps\n  - ",
        "\nFor example\n  genbench ",
        "\nPage: docs/results.md#",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("given", ["GB101", "gb101", "101", "unknown-name", " gb101 "])
def test_a_code_is_found_in_any_spelling(given: str) -> None:
    (found,) = genbench.explain(given).codes
    assert found.code == "GB101"


def test_without_a_code_all_are_listed_by_subject(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["explain"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {code.code}  {code.title}\n" in shown for code in genbench.explain().codes)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(("given", "nearest"), [("GB1O1", "GB101"), ("GB998", "GB999"), ("timeuot", "timeout")])
def test_a_wrong_code_gives_the_nearest(given: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["explain", given]) == 2
    assert f"Did you mean '{nearest}'?" in capsys.readouterr().err


def test_several_codes_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["explain", "GB501", "GB502", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["cell-failed", "out-of-memory"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "--models", "gna"], "GB101"),
        (["run", "--modles", "gan"], "GB102"),
        (["explian"], "GB102"),
        (["run", "--set", "vae.hidden=many", "--models", "vae"], "GB103"),
        (["show", "nowhere"], "GB705"),
        (["run", "--plugin", "nowhere.py"], "GB203"),
        (["run", "--datasets", "folder:nowhere"], "GB305"),
        (["run", "--config", "nowhere.toml"], "GB701"),
    ],
)
def test_the_last_line_of_a_message_says_how_to_have_it_explained(
    arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"More: genbench explain {code}"


def test_explaining_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, genbench; genbench.explain('GB101').text(); print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
