"""The package passes the conformance kit; its two longest rules are marked slow for the eighteen models."""

from __future__ import annotations

import importlib.util

import pytest

from genbench.testing import conformance

if importlib.util.find_spec("pythae") is None or importlib.util.find_spec("pydantic") is None:
    pytest.skip("pythae is not installed", allow_module_level=True)

LONG = ("compiles", "bounded-memory")

test_conformance = conformance("genbench-pythae", skip=LONG)
test_conformance_at_length = pytest.mark.slow(conformance("genbench-pythae", only=LONG))
