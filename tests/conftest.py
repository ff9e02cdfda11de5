"""Fixtures that the tests of several rooms share."""

from __future__ import annotations

import os

import hypothesis
import pytest

# The same examples each time, so that a test never fails for luck; `pytest --hypothesis-profile search` looks for more.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("steady")

# Two threads per test process: what the smallest machines have; a test that needs another number sets it itself.
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def _no_user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from what a user has downloaded or set."""
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in ("GENBENCH_INCEPTION_WEIGHTS", "GENBENCH_PLUGIN_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
