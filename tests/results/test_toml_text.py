"""TOML that is written is read again as it was."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from genbench.results.toml_text import toml_document

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXT,
    st.lists(TEXT, max_size=3),
)  # fmt: skip
TABLES = st.dictionaries(TEXT, VALUES, max_size=3)


@given(st.dictionaries(TEXT, st.one_of(VALUES, st.dictionaries(TEXT, TABLES.filter(bool), min_size=1, max_size=3))))
def test_a_document_is_read_as_it_was_written(data: dict[str, Any]) -> None:
    assert tomllib.loads(toml_document(data)) == data


def test_none_is_text() -> None:
    assert toml_document({"a": None}) == 'a = "none"\n'
