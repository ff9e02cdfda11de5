"""A SLURM cluster for tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slurm_cluster import SlurmCluster, missing_program


@pytest.fixture(scope="session")
def cluster() -> Iterator[SlurmCluster]:
    """Return a cluster of two nodes, which is stopped at the end."""
    if program := missing_program():
        pytest.skip(f"{program} is not installed (Debian: slurm-wlm, munge)")
    found = SlurmCluster()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.variables.items():
            patch.setenv(name, value)
        yield found
        found.close()
