"""The package passes the conformance kit."""

from __future__ import annotations

from genbench.testing import conformance

SMALL = {"width": 4, "max_width": 8}

test_conformance = conformance("genbench-stylegan", settings={"stylegan2": SMALL, "stylegan2-conditional": SMALL})
