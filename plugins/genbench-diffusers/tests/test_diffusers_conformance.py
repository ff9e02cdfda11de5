"""The package passes the conformance kit."""

from __future__ import annotations

import importlib.util

import pytest

from genbench.testing import conformance

if importlib.util.find_spec("diffusers") is None:
    pytest.skip("diffusers is not installed", allow_module_level=True)

test_conformance = conformance(
    "genbench-diffusers", settings={"diffusers-unet": {"width": 8, "blocks": 1}, "diffusers": {"steps": 3}}
)
