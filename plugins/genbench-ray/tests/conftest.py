"""A Ray cluster for tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray_cluster import RayCluster  # before Ray is imported anywhere


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not give up a test of this package on a busy machine, where engines start late."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(3000))


@pytest.fixture(scope="session")
def start_cluster() -> Iterator[Callable[..., RayCluster]]:
    """Return a function that starts a cluster, which is stopped at the end."""
    started = []

    def start(port: int | None = None, **variables: str) -> RayCluster:
        started.append(RayCluster(port, **variables))
        return started[-1]

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as place:
        patch.setenv("RAY_TMPDIR", place)  # short, as it is part of the names of sockets
        patch.setenv("GENBENCH_EXECUTOR_TIMEOUT", "300")
        yield start
        for cluster in started:
            cluster.close()
