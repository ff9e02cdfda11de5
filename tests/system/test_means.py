"""Which means are used, and what there is of what depends on them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from genbench.system.abilities import ABILITIES
from genbench.system.means import VARIABLE, uses_linux

PAGE = Path(__file__).parents[2] / "docs" / "platforms.md"


@pytest.mark.parametrize(("value", "chosen"), [(None, False), ("", False), ("0", False), ("1", True)])
def test_linux_uses_its_own_means_unless_the_variable_is_set(
    value: str | None, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    assert uses_linux() == (sys.platform == "linux" and not chosen)


def test_the_page_and_the_doctor_have_the_same_table() -> None:
    first, *_ = re.findall(r"(?:^\|.+\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", first, re.MULTILINE)
    assert rows[0] == ("ability", "Linux", "macOS", "Windows")
    assert rows[1:] == [tuple(ability) for ability in ABILITIES]


def test_here_is_the_column_of_this_system(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ABILITIES[0]
    monkeypatch.setenv(VARIABLE, "1")
    assert first.here == first.windows
    monkeypatch.delenv(VARIABLE)
    assert first.here == (first.linux if sys.platform == "linux" else first.windows)
