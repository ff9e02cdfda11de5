"""docs/figures.md: its commands run, its pictures are current, its table has every kind."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from genbench.cli import invoke
from genbench.report.figures.appearance import THEMES, WIDTHS
from genbench.report.figures.kinds import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (genbench figure .*)$", PAGE, flags=re.MULTILINE)


def test_the_commands_run_and_the_committed_facts_are_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        assert invoke(shlex.split(command)[1:]) == 0, command
    facts = "docs/pictures/frontier.txt"
    assert (tmp_path / facts).read_text() == (ROOT / facts).read_text()


def test_every_kind_theme_and_width_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.split("## Size")[0], flags=re.MULTILINE) == [*KINDS]
    others = {*KINDS} - {"frontier", "ranks"}  # the default, and one that no stored run has enough datasets for
    assert {kind for command in COMMANDS for kind in re.findall(r"--kind (\w+)", command)} == others
    assert all(f"`{name}`" in PAGE for name in (*THEMES, *WIDTHS))
