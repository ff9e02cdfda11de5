"""A SLURM cluster for tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slurm_cluster import SlurmCluster, missing_program


@pytest.fixture
def cluster(_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """Return a cluster of two nodes; a test that passes must leave no job there."""
    yield _cluster
    left = _cluster.queue() if _cluster.succeeds("scontrol", "ping") else []
    _cluster.reset()
    assert left == []


@pytest.fixture(scope="session")
def _cluster() -> Iterator[SlurmCluster]:
    if program := missing_program():
        pytest.skip(f"{program} is not installed (Debian: slurm-wlm, munge)")
    found = SlurmCluster()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.variables.items():
            patch.setenv(name, value)
        yield found
        found.close()
