"""What a check is: a rule, the reason for it, how to fix a violation, and the function that checks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from genbench.plugins.loader import Kind
from genbench.testing.subject import Subject

Verdict = Literal["ok", "failed", "undecided", "skipped"]  # undecided: the time limit ended the check
Examine: TypeAlias = Callable[[Subject], None]  # raises `RuleViolation` or `NotApplicable`


@dataclass(frozen=True)
class Check:
    """One rule."""

    name: str
    kinds: tuple[Kind, ...]  # the kinds of specs that it applies to
    what: str  # the rule, in one sentence
    why: str  # the reason for it
    fix: str  # what the author can do about a violation
    examine: Examine
    after: tuple[str, ...] = ()  # checks that must have passed before this one can run


@dataclass(frozen=True)
class Outcome:
    """The result of a check on a subject."""

    kind: str  # of the subject; 'plugins' if the outcome is about a whole plugin
    subject: str
    check: str
    verdict: Verdict
    reason: str = ""  # what was found, or why the check was skipped
    fix: str = ""  # what to do about this violation; empty: what the rule says


def check(
    name: str, *kinds: Kind, what: str, why: str, fix: str, after: tuple[str, ...] = ()
) -> Callable[[Examine], Check]:
    """Turn a function into a check."""

    def make(examine: Examine) -> Check:
        return Check(name, kinds, what, why, fix, examine, after)

    return make
