"""The package passes the conformance kit, on a real SLURM."""

from __future__ import annotations

import pytest
from slurm_cluster import SlurmCluster

from genbench.testing import conformance

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _cluster_runs(cluster: SlurmCluster) -> None:
    """Have the commands of SLURM answer."""


test_conformance = conformance("genbench-slurm")
