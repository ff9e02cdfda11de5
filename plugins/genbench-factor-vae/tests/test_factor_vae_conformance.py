"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance(
    "genbench-factor-vae", settings={"factor-vae": {"width": 8, "hidden": 16, "discriminator_width": 32}}
)
