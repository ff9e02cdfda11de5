"""The conformance kit: rules that plugins keep, tried on tiny data; behind `genbench plugin test`, and for pytest."""

from __future__ import annotations

from genbench.testing.check import Check, Outcome
from genbench.testing.checks import CHECKS
from genbench.testing.pytest_tests import conformance

__all__ = ["CHECKS", "Check", "Outcome", "conformance"]
