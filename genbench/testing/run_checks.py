"""Running checks on a subject, each after the checks that it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genbench.errors import GenbenchError
from genbench.measure.user_frame import error_location
from genbench.plugins.calls import origin_of
from genbench.plugins.process_guard import preserved_process_state
from genbench.testing.check import Check, Outcome, Verdict
from genbench.testing.checks import BY_NAME, CHECKS
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.forks import exit_if_forked, fork_count
from genbench.testing.subject import Subject

_NOT_PASSED = (" failed", " undecided")  # after the name of a check, the reason why its dependents are skipped
_CONTRACT = "Compare it with the records in docs/reference.md."
_EXCEPTION = "Correct the code that raises it; `genbench run --in-process --pdb` stops there."


def checks_for(subject: Subject, only: Sequence[str] = ()) -> list[Check]:
    """Return the checks that apply to this kind of subject, in order; `only` selects some by name."""
    return [check for check in CHECKS if subject.kind in check.kinds and (not only or check.name in only)]


@dataclass
class Examination:
    """The checks of one subject; each runs at most once."""

    subject: Subject
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # so far, by check

    def outcome(self, check: Check) -> Outcome:
        """Return the outcome of a check; run the check, and those that it depends on, if they have not run yet."""
        if check.name not in self.outcomes:
            reason = self._failed_prerequisite(check)
            found: tuple[Verdict, str, str] = ("skipped", reason, "") if reason else _run(check, self.subject)
            self.outcomes[check.name] = Outcome(self.subject.kind, self.subject.name, check.name, *found)
        return self.outcomes[check.name]

    def _failed_prerequisite(self, check: Check) -> str:
        """Return which check failed, or is undecided, that this one depends on; an empty string if all passed."""
        for name in check.after:
            needed = BY_NAME[name]
            if self.subject.kind not in needed.kinds:
                continue
            before = self.outcome(needed)
            if before.verdict in ("failed", "undecided"):
                return f"{name} {before.verdict}"
            if before.verdict == "skipped" and before.reason.endswith(_NOT_PASSED):
                return before.reason
        return ""


def _run(check: Check, subject: Subject) -> tuple[Verdict, str, str]:
    """Run a check; return verdict, reason and fix. An exception in the plugin's code is a failure too."""
    forks_before = fork_count()
    try:
        with preserved_process_state(randomness=False) as changes:
            check.examine(subject)
    except RuleViolation as violation:
        return "failed", str(violation), ""
    except NotApplicable as reason:
        return "skipped", str(reason), ""
    except GenbenchError as error:
        return "failed", error.cause, error.cure or _CONTRACT
    except Exception as error:
        where = f"{error_location(error, or_machinery=True)}{origin_of(error)}"
        return "failed", f"{type(error).__name__}: {error}{where}", _EXCEPTION
    finally:
        exit_if_forked(subject.process)
        if fork_count() > forks_before:
            subject.note("its code forks the process and lets the copy continue")
        for change in changes:
            subject.note(f"training or sampling changed {change}")
    return "ok", "", ""


def explain(outcome: Outcome) -> str:
    """Return the text of a failure: what was found, the rule, why it matters, and how to fix it."""
    check = BY_NAME[outcome.check]
    fix = outcome.fix or check.fix
    return (
        f"{outcome.subject} ({outcome.kind}) violates {outcome.check}\n"
        f"found: {outcome.reason}\nrule:  {check.what}\nwhy:   {check.why}\nfix:   {fix}"
    )
