"""What a check raises: the rule is violated, or it does not apply."""

from __future__ import annotations


class RuleViolation(Exception):
    """The subject violates the rule; the message says what was found."""


class NotApplicable(Exception):
    """The rule does not apply to this subject, or cannot be checked here; the message says why."""
