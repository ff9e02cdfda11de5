"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

CONVOLUTIONS = {"width": 4, "blocks": 1, "mixtures": 2}
LAYERS = {"width": 8, "layers": 1, "heads": 2, "block": 64}
test_conformance = conformance(
    "genbench-autoregressive",
    settings={
        "pixelcnn-pp": CONVOLUTIONS,
        "cpixelcnn-pp": CONVOLUTIONS,
        "image-transformer": LAYERS,
        "cimage-transformer": LAYERS,
    },
)
