"""The kit as pytest tests of a plugin author, and the page of rules."""

from __future__ import annotations

from pathlib import Path

import forks
import pytest

from genbench.testing import conformance
from genbench.testing.rules_page import page

ROOT = Path(__file__).parents[2]
CONFORMING = Path(__file__).parents[1] / "support" / "conforming_plugin.py"


@pytest.mark.slow
def test_an_author_gets_one_test_for_each_rule_with_readable_names(tmp_path: Path) -> None:
    broken = tmp_path / "mine.py"
    broken.write_text(CONFORMING.read_text().replace("nn.BatchNorm1d(width)", "nn.BatchNorm1d(width, 0.8)"))
    given = f"plugin={str(broken)!r}"
    (tmp_path / "test_mine.py").write_text(
        "from genbench.testing import conformance\n"
        "RULES = ['builds', 'norm-epsilon', 'labels-matter']\n"
        f"test_conformance = conformance('tiny', {given}, only=RULES, skip=['builds'])\n"
        f"test_all = conformance({given}, only=['norm-epsilon'])\n"
        f"test_documented = conformance('tiny', {given}, only=['documented'])\n"
    )
    command = ("-v", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path))
    printed, _ = forks.start(command, directory=tmp_path, program="pytest").communicate(timeout=300)
    assert "test_conformance[tiny-labels-matter] SKIPPED" in printed, printed
    assert "test_conformance[tiny-norm-epsilon] FAILED" in printed
    assert "test_all[dueller-norm-epsilon] FAILED" in printed
    assert "found: generator.norm has eps = 0.8" in printed
    assert "fix:   Write momentum=0.8" in printed
    assert "test_documented[tiny-documented] PASSED" in printed
    assert "[tiny-builds]" not in printed


def test_specs_with_the_same_name_are_distinguished_by_kind(tmp_path: Path) -> None:
    twice = tmp_path / "twice.py"
    twice.write_text(CONFORMING.read_text().replace('name="penalised"', 'name="tiny"'))
    (mark,) = conformance(plugin=twice, only=["documented"]).pytestmark  # type: ignore[attr-defined]
    ids = {case.id for case in mark.args[1]}
    assert {"tiny-model-documented", "tiny-loss-documented", "labelled-documented"} <= ids


def test_the_committed_page_of_rules_is_up_to_date() -> None:
    assert (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8") == page()
