"""Settings and fixtures of all tests."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest
from collection import pytest_collection_finish, pytest_collection_modifyitems, pytest_unconfigure  # noqa: F401

# The same examples each time, so that a test never fails for luck; `pytest --hypothesis-profile search` looks for more.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=1000, deadline=None)
hypothesis.settings.load_profile("steady")

# Two workers share the cores of the smallest machines: with two threads each, tests take up to eighty times longer.
# A test that needs more threads sets it itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests start hundreds of Python processes: without cached bytecode, each compiles genbench again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A pytest that a test starts is no worker of pytest-xdist: pytest-benchmark would time nothing in it.
for _name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
    del os.environ[_name]


@pytest.fixture(params=["means of Linux", "portable means"])
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have genbench, and the commands that a test starts, use what Linux has, or what every system has."""
    if request.param == "portable means":
        monkeypatch.setenv("GENBENCH_PORTABLE", "1")
    elif sys.platform == "linux":
        monkeypatch.delenv("GENBENCH_PORTABLE", raising=False)
    else:
        pytest.skip("this is not Linux")
    return str(request.param)


@pytest.fixture
def forked_children() -> Iterator[None]:
    """Have the processes that genbench starts from this one forked from one that has imported torch."""
    import forks

    from genbench.system.means import uses_linux

    with forks.forked_children() if uses_linux() else contextlib.nullcontext():
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests, and their shared fixtures, away from what a user has downloaded or set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        for name in ("GENBENCH_INCEPTION_WEIGHTS", "GENBENCH_PLUGIN_TIMEOUT"):
            patch.delenv(name, raising=False)
        yield
