"""The kit in pytest: one test for each rule and each thing that a plugin registers.

# test_my_plugin.py
from genbench.testing import conformance

test_conformance = conformance("my-plugin")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from genbench.planning.settings import Settings
from genbench.plugins.catalogue import SINGULAR, discover
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.testing.check import Check, Outcome
from genbench.testing.run_checks import Examination, checks_for, explain
from genbench.testing.subject import Subject
from genbench.testing.targets import find_targets


def conformance(
    *names: str,
    plugin: str | Path | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    settings: Settings | None = None,
) -> Callable[..., None]:
    """Return a test function with one case per rule.

    Args:
        names: plugins, distributions, or models, losses and so on.
        plugin: the path of a single-file plugin; without names, everything that it registers is checked.
        only: the rules to check; empty: all.
        skip: rules not to check.
        settings: option values by name, as with `--set`: {"my-variant": {"width": 8}}.

    The plugin is imported into this process. Raises `UsageError` for an unknown name.
    """
    import pytest

    files = [] if plugin is None else [str(Path(plugin).resolve())]
    targets = find_targets(names or files, discover(files), settings=settings)
    catalogue = load_catalogue(targets.plugins)
    cases: list[Any] = [pytest.param(refusal, None, id=f"{refusal.subject}-loads") for refusal in targets.refusals]
    names_of_all = [described.name for described in targets.subjects]
    for described in targets.subjects:
        unique = names_of_all.count(described.name) == 1
        title = described.name if unique else f"{described.name}-{SINGULAR[described.kind]}"
        subject = Subject(described.kind, described.name, catalogue, settings or {})
        examination = Examination(subject)
        cases += [
            pytest.param(examination, check, id=f"{title}-{check.name}")
            for check in checks_for(subject, only)
            if check.name not in skip
        ]

    @pytest.mark.parametrize(("subject", "check"), cases)
    def test_conformance(subject: Examination | Outcome, check: Check | None) -> None:
        outcome = subject if isinstance(subject, Outcome) else subject.outcome(check)  # type: ignore[arg-type]
        if outcome.verdict == "skipped":
            pytest.skip(outcome.reason)
        if outcome.verdict == "failed":
            pytest.fail(explain(outcome), pytrace=False)

    return test_conformance
