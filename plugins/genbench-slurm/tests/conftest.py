"""A SLURM cluster for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import WITH_FAULTS, Going, start
from slurm_cluster import SlurmCluster, missing_program

LIMITED = "run_at_its_time_limit"  # a fixture: SLURM's limits are minutes, so its run goes on beside the other tests
LIMITED_STEPS = 100_000  # more than a job does in the two minutes that it is given


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the test that waits for SLURM's time limit be the last one, and give up none on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(3000))
    items.sort(key=lambda item: LIMITED in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def _limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Going | None]:
    """Start the run that reaches its time limit where a test wants it."""
    wanted = any(LIMITED in getattr(item, "fixturenames", ()) for item in request.session.items)
    if not wanted or missing_program():
        yield None
        return
    request.getfixturevalue("_cluster")
    limits = ("--set", "slurm.margin=0.0001", "--set", "slurm.extra_minutes=1")  # two minutes for the first job
    executor = ("--executor", "slurm", "--set", "slurm.partition=apart", *limits)
    budget = ("--models", "slow", "--images", str(32 * LIMITED_STEPS))
    out = tmp_path_factory.mktemp("limited") / "run"
    going = start(
        *WITH_FAULTS, *budget, *executor, "--set", "slurm.poll_seconds=1", out=out, fresh=True, FAULTS_SLOW="1"
    )
    yield going
    if going.process.poll() is None:
        going.process.terminate()
        going.end()


@pytest.fixture
def run_at_its_time_limit(_limited: Going | None, cluster: SlurmCluster) -> Going:
    """Return a run whose job reaches SLURM's time limit."""
    assert _limited is not None
    return _limited


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
        for name, value in {**found.variables, "GENBENCH_EXECUTOR_TIMEOUT": "300"}.items():
            patch.setenv(name, value)
        yield found
        found.close()
