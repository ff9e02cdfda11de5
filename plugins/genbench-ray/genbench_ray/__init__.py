"""An executor that runs cells on a Ray cluster; Ray is not imported until a run uses it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

requires_api = "1.4"


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and what each job reserves there."""

    address: str = genbench.option(
        "auto",
        "'auto': RAY_ADDRESS, or the cluster that was started on this machine; 'local': start one for this run; or "
        "HOST:PORT of a cluster of which this machine is a node",
    )
    results: Literal["shared", "object-store"] = genbench.option(
        "shared",
        "how results arrive: through the run directory, which all nodes share, or through Ray at the end of each cell",
    )
    exclusive: bool = genbench.option(
        True, "whether a job on the CPU reserves all processors of its node; one on GPUs has these to itself anyway"
    )
    resources: str = genbench.option("", "custom resources that each job reserves, as NAME=AMOUNT, separated by spaces")
    autoscaling: bool = genbench.option(
        False, "whether nodes may be added: a job that no present node can run waits instead of being rejected"
    )
    jobs: int = genbench.option(100, "jobs that Ray has at the same time, waiting or running", minimum=1)
    start_seconds: float = genbench.option(
        0.0, "after which a job that Ray has not started counts as lost; 0: no limit", minimum=0
    )
    keep_hours: float = genbench.option(24.0, "how long the results of jobs wait for a driver that has gone", minimum=0)


@genbench.hookimpl
def genbench_executors() -> Iterable[genbench.ExecutorSpec]:
    """Yield the executor."""
    yield genbench.ExecutorSpec(
        name="ray",
        summary="a Ray cluster, existing or started on this machine",
        create="genbench_ray.executor:create",
        options=RayOptions,
    )
