"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

SMALL = {
    **{name: {"width": 8} for name in ("diffusion", "conditional-diffusion", "consistency")},
    "model:ddpm": {"width": 8, "blocks": 1},
    **{name: {"steps": 3} for name in ("edm", "loss:ddpm", "v-prediction", "flow-matching")},
}

test_conformance = conformance("genbench-diffusion", settings=SMALL)
