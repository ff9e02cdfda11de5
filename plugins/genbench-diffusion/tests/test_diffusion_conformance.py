"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

test_conformance = conformance(
    "genbench-diffusion",
    settings={"diffusion": {"width": 8}, "edm": {"steps": 3}, "ddpm": {"steps": 3}},
)
