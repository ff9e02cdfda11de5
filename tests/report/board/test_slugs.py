"""Names of pages: safe on every disk, and different for different names."""

from __future__ import annotations

import re

import pytest

from genbench.report.board.slugs import slug

NAMES = ["", "DCGAN", "../../etc", "a/b", "<script>", "con", "é漢字", "\u202eabc", "x" * 1000, "a b", ".", "\x1b[2J"]


@pytest.mark.parametrize("name", [*NAMES, "\udcff"])
def test_a_slug_is_a_plain_file_name(name: str) -> None:
    assert re.fullmatch(r"([a-z0-9]+-)*[a-z0-9]+", slug(name))
    assert len(slug(name)) <= 51


def test_names_that_differ_in_any_way_have_other_slugs() -> None:
    names = ["gan", "GAN", "Gan", "gan ", "gan!", "g-an", "gàn", "x" * 100, "x" * 101]
    slugs = {slug(name) for name in names}
    assert len({one.lower() for one in slugs}) == len(names)


def test_more_is_part_of_the_digest() -> None:
    assert slug("gan", "a") != slug("gan", "b")
    assert slug("gan", "ab", "c") != slug("gan", "a", "bc")
