"""The README files on a package index: no link is relative, and each leads to a file of the repository."""

from __future__ import annotations

import re
import runpy
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("plugins/*/README.md"))]
ADDRESS = "https://example.org/genbench"


@pytest.fixture(scope="module")
def published() -> Any:
    return runpy.run_path(str(ROOT / "scripts" / "copy_published_sources.py"))["published"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_every_link_is_absolute_and_its_file_exists(readme: Path, published: Any) -> None:
    place = PurePosixPath(readme.parent.relative_to(ROOT).as_posix())
    text = readme.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", published(text, place, ADDRESS, "v1"))
    assert len(targets) == len(re.findall(r"\]\(([^)\s]+)\)", text))
    for target in targets:
        assert target.startswith(("https://", "#"))
        if target.startswith(ADDRESS):
            kind, path = re.fullmatch(rf"{ADDRESS}/(raw|blob|tree)/v1/([^#]+)(?:#.*)?", target).groups()  # type: ignore[union-attr]
            assert (ROOT / path).is_dir() if kind == "tree" else (ROOT / path).is_file(), target


def test_an_image_that_is_a_link_keeps_both(published: Any) -> None:
    text = published(
        "[![top](a/b.png)](../c.md#d) and [code `x`](https://e.org)", PurePosixPath("plugins/p"), ADDRESS, "v1"
    )
    assert text == (
        f"[![top]({ADDRESS}/raw/v1/plugins/p/a/b.png)]({ADDRESS}/blob/v1/plugins/c.md#d) and [code `x`](https://e.org)"
    )


def test_without_an_address_links_are_text(published: Any) -> None:
    text = published("[![top](a.png)](b.md)see [this page](c.md), [that](https://e.org)", PurePosixPath(), "", "")
    assert text == "see this page, [that](https://e.org)"
