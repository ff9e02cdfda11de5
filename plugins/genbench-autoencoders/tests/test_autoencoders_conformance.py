"""The package passes the conformance kit; its two longest rules are marked slow."""

from __future__ import annotations

import pytest

from genbench.testing import conformance

SMALL_CODES = {"width": 8, "residual_width": 4, "codes": 16, "prior_width": 4, "prior_layers": 1}
SMALL = {
    "vae-gan": {"width": 8},
    "aae": {"hidden": 16},
    "conditional-aae": {"hidden": 16},
    "ali": {"width": 2},
    "bigan": {"width": 2},
    "rae": {"width": 2, "components": 2},
    "vamp-vae": {"hidden": 16, "pseudo_inputs": 8},
    "ladder-vae": {"widths": [32, 16]},
    "vq-vae-2": SMALL_CODES,
    "conditional-vq-vae-2": SMALL_CODES,
}
LONG = ("compiles", "bounded-memory")

test_conformance = conformance("genbench-autoencoders", skip=LONG, settings=SMALL)
test_conformance_at_length = pytest.mark.slow(conformance("genbench-autoencoders", only=LONG, settings=SMALL))
