"""Whole runs on a real Ray cluster of several nodes on this machine, with kills: nothing lost, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, run
from ray_cluster import RayCluster

pytestmark = pytest.mark.slow

STEPS = 300
LONG = (*WITH_FAULTS, "--models", "slow", "--images", str(32 * STEPS))


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., RayCluster], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    marks = tmp_path_factory.mktemp("marks")
    found = start_cluster(FAULTS_SLOW="1", FAULTS_MARKS=str(marks), GENBENCH_CHECKPOINT_SECONDS="0.1")
    found.add_node()
    yield found


def weights(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "checkpoints").glob("*.safetensors")}


def events(directory: Path) -> list[str]:
    journal = directory / "jobs" / "journal.jsonl"
    return [json.loads(line)["event"] for line in journal.read_text().splitlines()]


def test_the_same_cells_and_weights_here_and_there(cluster: RayCluster, tmp_path: Path) -> None:
    plan = (*TINY, "--models", "vae,gan", "--set", "vae.hidden=16")
    here = run(*plan, out=tmp_path / "here")
    there = run(*plan, *cluster.arguments(), out=tmp_path / "there")
    stored = run(*plan, *cluster.arguments(results="object-store"), out=tmp_path / "stored")
    assert (here.code, there.code, stored.code) == (0, 0, 0), there.err + stored.err
    assert len(weights(here.run)) == 2
    assert weights(there.run) == weights(stored.run) == weights(here.run)
    assert (
        [c.id for c in there.record.cells] == [c.id for c in stored.record.cells] == [c.id for c in here.record.cells]
    )
    cluster.wait_until_free()
