"""The package keeps the rules of the conformance kit; of a tracker that is not installed most are skipped."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-trackers")
