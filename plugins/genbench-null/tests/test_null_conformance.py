"""The package keeps the rules of the conformance kit, as far as they say anything of nothing."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-null")
