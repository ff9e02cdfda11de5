"""The conformance kit, on everything that the package registers."""

from __future__ import annotations

from genbench.testing import conformance

_SMALL = {"width": 8}

test_conformance = conformance(
    "genbench-attention-gan",
    settings={
        "sagan": _SMALL,
        "sagan-unconditional": _SMALL,
        "biggan": {**_SMALL, "embedding": 4},
        "biggan-unconditional": _SMALL,
    },
)
