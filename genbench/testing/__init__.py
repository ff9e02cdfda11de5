"""The conformance kit: rules for plugins, checked on tiny data by `genbench plugin test` and in pytest."""

from __future__ import annotations

from genbench.testing.check import Check, Outcome
from genbench.testing.checks import CHECKS
from genbench.testing.pytest_tests import conformance

__all__ = ["CHECKS", "Check", "Outcome", "conformance"]
