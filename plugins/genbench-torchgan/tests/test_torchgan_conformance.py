"""The package passes the conformance kit."""

from __future__ import annotations

import importlib.util

import pytest

from genbench.testing import conformance

if importlib.util.find_spec("torchgan") is None:
    pytest.skip("torchgan is not installed", allow_module_level=True)

SMALL = {"step_channels": 8}

test_conformance = conformance(
    "genbench-torchgan", settings={"torchgan-dcgan": SMALL, "torchgan-cgan": SMALL, "torchgan-acgan": SMALL}
)
