"""Asking checks of subjects, in an order in which each rests on what is known to hold."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.errors import GenbenchError
from genbench.measure.user_frame import error_location
from genbench.plugins.process_guard import preserved_process_state
from genbench.testing.check import Check, Outcome
from genbench.testing.checks import BY_NAME, CHECKS
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.forks import end_copy, forks
from genbench.testing.subject import Subject

_FAILED = " has failed"  # after the name of a rule: why those that rest on it are not tried


def checks_of(subject: Subject, only: Sequence[str] = ()) -> list[Check]:
    """Return the checks that apply to this kind, all or those that are named, in order."""
    return [check for check in CHECKS if subject.kind in check.kinds and (not only or check.name in only)]


def examine(check: Check, subject: Subject) -> Outcome:
    """Ask a check, once those that it rests on have been asked; an error in the plugin's code is a finding too."""
    for name in check.after:
        needed = BY_NAME[name]
        if subject.kind not in needed.kinds:
            continue
        before = subject.outcome(needed)
        if before.verdict == "failed":
            return _outcome(check, subject, "skipped", f"{name}{_FAILED}")
        if before.reason.endswith(_FAILED):
            return _outcome(check, subject, "skipped", before.reason)
    forks_before = forks()
    try:
        with preserved_process_state(randomness=False) as changes:
            check.examine(subject)
    except RuleViolation as finding:
        return _outcome(check, subject, "failed", str(finding))
    except NotApplicable as reason:
        return _outcome(check, subject, "skipped", str(reason))
    except GenbenchError as error:
        return _outcome(check, subject, "failed", f"{error.cause} {error.cure}".strip())
    except Exception as error:
        return _outcome(check, subject, "failed", f"{type(error).__name__}: {error}{error_location(error)}")
    finally:
        end_copy(subject.process)
        if forks() > forks_before:
            subject.note("its code forks the process, and a copy runs on")
        for change in changes:
            subject.note(f"training or sampling changed {change}")
    return _outcome(check, subject, "ok", "")


def explain(outcome: Outcome) -> str:
    """Return a failure in words: what was found, what should hold, why, and how to mend it."""
    check = BY_NAME[outcome.check]
    return (
        f"{outcome.subject} ({outcome.kind}) breaks {outcome.check}\n"
        f"found: {outcome.reason}\nrule:  {check.what}\nwhy:   {check.why}\nmend:  {check.mend}"
    )


def _outcome(check: Check, subject: Subject, verdict: str, reason: str) -> Outcome:
    return Outcome(subject.kind, subject.name, check.name, verdict, reason)  # type: ignore[arg-type]
