"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-flows", settings={"realnvp": {"width": 8, "couplings": 2}})
