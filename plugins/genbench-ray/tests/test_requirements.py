"""What jobs reserve, and what is said where no node has it."""

from __future__ import annotations

import pytest
from genbench_ray.requirements import custom_resources, reservation, why_impossible

from genbench import ExecutorUnavailable, Resources

SMALL, LARGE = {"CPU": 4.0, "memory": 8.0 * 2**30}, {"CPU": 16.0, "memory": 64.0 * 2**30}
HEAD = {"memory": 8.0 * 2**30, "node:__internal_head__": 1.0}
GPUS = {"CPU": 32.0, "GPU": 4.0, "memory": 64.0 * 2**30}


def test_an_exclusive_job_reserves_all_processors_of_the_largest_nodes() -> None:
    assert reservation(Resources(cores=2), {}, True, [HEAD, SMALL, LARGE]) == {"CPU": 16}
    assert reservation(Resources(cores=2), {}, False, [HEAD, SMALL, LARGE]) == {"CPU": 2}
    assert reservation(Resources(cores=2), {"disk": 1}, True, [{**SMALL, "disk": 1}, LARGE]) == {"CPU": 4, "disk": 1}
    assert reservation(Resources(cores=2), {}, True, []) == {"CPU": 2}


def test_processes_of_a_cell_are_one_reservation_on_one_node() -> None:
    need = Resources(processes=4, cores=8, devices=4, device_type="cuda", memory=12.0)
    assert reservation(need, {}, True, [GPUS]) == {"CPU": 8, "GPU": 4, "memory": 12 * 2**30}
    half = {**GPUS, "GPU": 2.0}
    assert why_impossible(reservation(need, {}, True, [half, half]), [half, half]) != ""


def test_a_job_on_a_gpu_takes_at_most_its_share_of_the_processors() -> None:
    assert reservation(Resources(cores=32, devices=1, device_type="cuda"), {}, True, [GPUS])["CPU"] == 8
    assert reservation(Resources(cores=2, devices=1, device_type="cuda"), {}, True, [GPUS])["CPU"] == 2
    assert reservation(Resources(cores=2, devices=2, device_type="cuda"), {}, True, [{"CPU": 1, "GPU": 8}])["CPU"] == 1


def test_what_no_node_has_is_named_with_the_most_that_any_has() -> None:
    assert why_impossible({"CPU": 16}, [SMALL, LARGE]) == ""
    assert (
        "no node of the Ray cluster has 17 CPU (the most of any: 16 CPU). Use a smaller --threads."
        in why_impossible({"CPU": 17}, [SMALL, LARGE])
    )
    said = why_impossible({"CPU": 1, "GPU": 1, "memory": 2**40}, [SMALL, GPUS])
    assert "1.02e+03 GiB memory (the most of any: 64 GiB memory)" in said
    assert "GPU" not in said  # the node with GPUs lacks memory alone
    assert "no node of the Ray cluster has 1 CPU" in why_impossible({"CPU": 1}, [])


@pytest.mark.parametrize("text", ["fast", "fast=", "fast=none", "fast=0", "fast=nan", "=1", "GPU=1", "fast=1,other=2"])
def test_resources_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ExecutorUnavailable, match="NAME=AMOUNT"):
        custom_resources(text)


def test_custom_resources() -> None:
    assert custom_resources("fast=1 licence=0.5") == {"fast": 1, "licence": 0.5}
    assert custom_resources("") == {}
