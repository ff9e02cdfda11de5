"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

import pytest

testing = pytest.importorskip("genbench.testing")

test_conformance = testing.conformance("genbench-r3gan", settings={"r3gan": {"width": 8, "depth": 1}})
