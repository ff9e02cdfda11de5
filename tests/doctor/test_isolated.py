"""A check that crashes, hangs or is killed has failed, and the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_checks import HERE

from genbench.doctor.checklist import CHECKS, Check
from genbench.doctor.finding import Figure, combined, failed, not_applicable, passed, warning
from genbench.doctor.isolated import examine_all


@pytest.mark.usefixtures("forked_children")  # the check that hangs takes all the time that imports are given
def test_every_ending_of_a_check_is_a_finding() -> None:
    names = ("sound", "raises", "killed", "leaves", "hangs", "forks")
    checks = [Check(name, "", f"{HERE}:{name}", seconds=30 if name != "hangs" else 1) for name in names]
    report = examine_all(checks, "cpu", starting=5)
    found = {check.name: check for check in report.checks}
    assert [check.status for check in report.checks] == ["passed", "failed", "failed", "failed", "failed", "passed"]
    assert "ValueError: no such thing (doctor_checks.py" in found["raises"].reason
    assert "SIGKILL" in found["killed"].reason
    assert "printed before" in found["killed"].reason
    assert "exited with status 3" in found["leaves"].reason
    assert "did not finish checking within" in found["hangs"].reason
    assert all("--json" in check.remedy for check in report.checks if check.status == "failed")
    assert not report.passed


def test_the_worst_of_several_findings_counts() -> None:
    good, odd, bad = passed(Figure("size", 1.5, "GiB")), warning("odd", "wait"), failed("bad", "repair")
    assert combined([good, odd, bad, odd]) == failed("bad", "repair", Figure("size", 1.5, "GiB"))
    assert combined([not_applicable("none"), good]).status == "passed"
    assert combined([]).status == "not applicable"
    assert str(good.figures[0]) == "size 1.5 GiB"


def test_names_and_questions_are_distinct_and_documented() -> None:
    assert len({check.name for check in CHECKS}) == len({check.question for check in CHECKS}) == len(CHECKS)
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = [f"| `{check.name}` | {check.question} | {'yes' if check.quick else ''} |" for check in CHECKS]
    assert "\n".join(rows) in page
