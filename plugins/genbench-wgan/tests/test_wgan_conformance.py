"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance("genbench-wgan", settings={"wgan-critic": {"width": 4}})
