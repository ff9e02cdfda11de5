"""The head of a Ray cluster fails: the run ends with the reason, nothing is left, and another cluster finishes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import WITH_FAULTS, run, start, wait_until_gone
from ray_cluster import RayCluster, jobs_of, tree, wait_for_checkpoint

pytestmark = pytest.mark.slow

STEPS = 300
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
PLAN = (*WITH_FAULTS, "--models", "slow", "--images", str(32 * STEPS))


def test_a_run_whose_head_dies_ends_with_the_reason_and_goes_on_when_a_head_is_started_again(
    start_cluster: Callable[..., RayCluster], tmp_path: Path
) -> None:
    cluster = start_cluster(FAULTS_SLOW="1", FAULTS_MARKS=str(tmp_path))
    cluster.add_node()
    going = start(*PLAN, *cluster.arguments(), out=tmp_path / "run", **SLOW)
    wait_for_checkpoint(going.run, going.process)
    processes = [found for job in jobs_of(going.run) for found in tree(job)]
    cluster.kill_head()
    done = going.end()
    assert done.code == 5
    assert "The executor 'ray' failed in poll" in done.err
    assert "resume the run, which takes them over" in done.err
    wait_until_gone(processes, 30)
    cluster.close()
    other = start_cluster(port=int(cluster.address.rpartition(":")[2]))
    other.add_node()
    resumed = run(out=going.run, resume=True)
    (cell,) = resumed.run_cells
    assert (resumed.code, cell.status, cell.steps) == (0, "ok", STEPS), resumed.err
    assert cell.notes[-1] == "an earlier job of this cell was lost: the Ray cluster no longer knows the job"
    assert cell.provenance is not None and cell.provenance.resumed_at_step
    other.wait_until_free()
