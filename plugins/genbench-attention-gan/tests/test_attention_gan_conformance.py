"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

import pytest

from genbench.testing import conformance

SMALL = {
    "sagan": {"width": 8},
    "sagan-unconditional": {"width": 8},
    "biggan": {"width": 8, "embedding": 4},
    "biggan-unconditional": {"width": 8},
    "projected-gan": {"width": 8},
}
SLOW = ("compiles", "bounded-memory", "image-shapes", "every-parameter-trains")

test_conformance = conformance("genbench-attention-gan", settings=SMALL, skip=SLOW)
test_slow_conformance = pytest.mark.slow(conformance("genbench-attention-gan", settings=SMALL, only=SLOW))
