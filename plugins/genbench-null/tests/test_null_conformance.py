"""The package passes the conformance kit, as far as its rules apply to a model that does nothing."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-null")
