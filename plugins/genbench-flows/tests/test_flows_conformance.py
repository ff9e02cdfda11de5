"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

SMALL = {"width": 8, "steps": 1, "levels": 2}
test_conformance = conformance(
    "genbench-flows", settings={"realnvp": {"width": 8, "couplings": 2}, "glow": SMALL, "cglow": SMALL}
)
