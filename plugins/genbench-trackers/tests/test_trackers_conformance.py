"""The package passes the conformance kit; most rules are skipped for trackers that are not installed."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-trackers")
