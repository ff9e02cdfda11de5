"""What a rule finds: a violation, or that it does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class RuleViolation(Exception):
    """The rule is broken; the message says what was found."""


class NotApplicable(Exception):
    """The rule says nothing about this subject, or cannot be tried here; the message says why."""
