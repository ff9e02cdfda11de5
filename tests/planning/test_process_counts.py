"""Cells trained by several processes: divisible batches, enough devices, and a rendezvous."""

from __future__ import annotations

import pytest

from genbench.errors import UsageError
from genbench.planning.planner import Plan, make_plan
from genbench.planning.process_counts import require_process_count, require_rendezvous
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import Rendezvous


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def plan(catalogue: Catalogue, **given: object) -> Plan:
    return make_plan(make_request({"models": "gan", **given}), catalogue, "cpu")


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ({"nproc": "3", "batch_size": 32}, "--batch-size 33, or 30"),
        ({"nproc": 2, "nnodes": 2, "batch_size": 6}, "--batch-size 8, or 4"),
        ({"nproc": 8, "batch_size": 5}, "--batch-size 8."),
    ],
)
def test_an_indivisible_batch_names_the_nearest_divisible_ones(
    catalogue: Catalogue, given: dict[str, object], cure: str
) -> None:
    with pytest.raises(UsageError, match="cannot be divided") as error:
        plan(catalogue, **given)
    assert cure in str(error.value)


def test_process_counts_are_an_axis_and_part_of_the_identity(catalogue: Catalogue) -> None:
    cells = plan(catalogue, nproc="1,2,4", seeds="0,1").cells
    assert [(cell.identity.recipe["nproc"], cell.identity.seed) for cell in cells] == [
        (count, seed) for count in (1, 2, 4) for seed in (0, 1)
    ]
    assert len({cell.id for cell in cells}) == 6


@pytest.mark.parametrize("given", ["x", "0", [2.5], "1.5"])
def test_an_invalid_process_count_is_rejected(given: object) -> None:
    with pytest.raises(UsageError, match="nproc"):
        make_request({"nproc": given})


def test_more_processes_than_devices_are_rejected_with_the_number_of_devices(catalogue: Catalogue) -> None:
    cells = plan(catalogue, nproc="1,4").cells
    require_process_count(cells, 4, "CUDA devices")
    with pytest.raises(UsageError, match="--nproc 4 needs as many CUDA devices; this machine has 2") as error:
        require_process_count(cells, 2, "CUDA devices")
    assert "--nproc 2 or less" in str(error.value)


def test_several_machines_need_a_rendezvous(catalogue: Catalogue) -> None:
    cells = plan(catalogue, nnodes=2).cells
    require_rendezvous(cells, Rendezvous(endpoint="here:29400"))
    with pytest.raises(UsageError, match="--rdzv-endpoint"):
        require_rendezvous(cells, None)
    require_rendezvous(plan(catalogue).cells, None)
