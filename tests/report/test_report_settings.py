"""Every setting is said once: in the caption or in a column."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genbench.report.settings import divide

NAMES = ("model", "loss", "dataset", "seed", "precision", "learning_rate", "gan.width")
rows_of_settings = st.lists(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)), max_size=5)


@given(rows_of_settings)
def test_a_setting_is_shared_or_varies_never_both(rows: list[dict[str, int]]) -> None:
    settings = divide(rows)
    assert not set(settings.shared) & set(settings.varying)
    for name, value in settings.shared.items():
        assert all(row.get(name, value) == value for row in rows)
    for name in settings.varying:
        assert len({row[name] for row in rows if name in row}) > 1


@given(rows_of_settings)
def test_rows_that_differ_in_what_both_know_look_different(rows: list[dict[str, int]]) -> None:
    complete = [dict.fromkeys(NAMES, 0) | row for row in rows]
    shown = ("model", *divide(complete).varying)
    different = {tuple(sorted(row.items())) for row in complete}
    looks = {tuple(row[name] for name in shown) for row in complete}
    assert len(looks) == len(different)
