"""An executor that submits the cells of a run to SLURM; submitit is imported only in the executor's process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

requires_api = "1.4"


@dataclass(frozen=True)
class Options:
    """What jobs ask SLURM for; further options of sbatch are its own variables, such as SBATCH_ACCOUNT."""

    partition: str = genbench.option("", "partition, or several with commas; empty: the cluster's default")
    gres: str = genbench.option(
        "", "generic resources of a job, as gpu:a100:1; empty: gpu:N for a cell of N processes on cuda, otherwise none"
    )
    minutes: int = genbench.option(
        0, "time limit of every job; 0: by `margin` and `extra_minutes`, or SBATCH_TIMELIMIT", minimum=0
    )
    margin: float = genbench.option(
        3.0,
        "a job may take this many times the estimated training time of its cell, and `extra_minutes`; twice as long "
        "after each job of the cell that reached its limit; at most --timeout and 10 minutes. 0: always that, or the "
        "partition's default",
        minimum=0,
    )
    extra_minutes: float = genbench.option(
        10.0, "time of a job in addition to training: starting, loading, evaluating, saving", minimum=1
    )
    memory: float = genbench.option(
        0.0, "GiB of a job; 0: a whole node's, or --memory-limit and 1 GiB, or the partition's default", minimum=0
    )
    exclusive: bool = genbench.option(
        True, "whether a cell on the CPU has a node to itself; its speed is marked if not, also on a GPU"
    )
    jobs: int = genbench.option(100, "jobs in the queue at the same time, and in one job array", minimum=1)
    start_minutes: float = genbench.option(
        0.0, "after which a job that has not started is cancelled and submitted again; 0: never", minimum=0
    )
    poll_seconds: float = genbench.option(10.0, "time between two questions to SLURM", minimum=1)


@genbench.hookimpl
def genbench_executors() -> Iterable[genbench.ExecutorSpec]:
    """Yield the executor."""
    yield genbench.ExecutorSpec(
        name="slurm",
        summary="jobs of a SLURM cluster, in arrays",
        create="genbench_slurm.executor:Slurm",
        options=Options,
    )
