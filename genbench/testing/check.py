"""What a check is: a rule, why it matters, how to mend what breaks it, and a function that finds out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from genbench.plugins.loader import Kind

if TYPE_CHECKING:
    from genbench.testing.subject import Subject

Verdict = Literal["ok", "failed", "skipped"]
Examine: TypeAlias = Callable[["Subject"], None]  # raises `RuleViolation` or `NotApplicable`


@dataclass(frozen=True)
class Check:
    """One rule."""

    name: str
    kinds: tuple[Kind, ...]  # that it applies to
    what: str  # holds: one sentence
    why: str  # it matters
    mend: str  # what the author does
    examine: Examine
    after: tuple[str, ...] = ()  # rules without which this one cannot be tried


@dataclass(frozen=True)
class Outcome:
    """What a check said of a subject."""

    kind: str  # of the subject, or 'plugins' where a plugin as a whole is meant
    subject: str
    check: str
    verdict: Verdict
    reason: str = ""  # what was found, or why it was skipped


def check(
    name: str, *kinds: Kind, what: str, why: str, mend: str, after: tuple[str, ...] = ()
) -> Callable[[Examine], Check]:
    """Make a check of a function."""

    def make(examine: Examine) -> Check:
        return Check(name, kinds, what, why, mend, examine, after)

    return make
