"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

import pytest

testing = pytest.importorskip("genbench.testing")

test_conformance = testing.conformance("genbench-wgan", settings={"wgan-critic": {"width": 4}})
