"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-r3gan", settings={"r3gan": {"width": 8, "depth": 1}})
