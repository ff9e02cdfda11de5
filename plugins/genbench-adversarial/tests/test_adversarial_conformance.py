"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-adversarial", settings={"veegan": {"width": 8}, "pggan": {"width": 8}})
