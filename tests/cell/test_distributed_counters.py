"""Counts of the main process are scaled to all processes that trained a cell."""

from __future__ import annotations

import pytest
from engine_cells import CATALOGUE, CPU, some_data

from genbench.cell import distributed
from genbench.cell.counters import CounterRecord
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.train.builder import build_cell
from genbench.train.process_group import World


class MainOfTwo(World):
    """The main one of two processes; in these tests it never communicates with the other."""

    size = 2


def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[CounterRecord, list[str]]:
    """Return the counts of a GAN in this world, and the calls of the launch-bound measurement."""
    asked: list[str] = []

    def half(engine: object, device: object) -> float:
        asked.append("launches")
        return 0.5

    monkeypatch.setattr(distributed, "launch_bound_fraction", half)
    request = make_request({"models": "gan", "batch_size": 8, "energy_seconds": 0.1, "nproc": world.size})
    (cell,) = make_plan(request, CATALOGUE, "cpu").cells
    built = build_cell(cell.identity, CATALOGUE, some_data((1, 28, 28)), CPU, world=world)
    distributed.stop_synchronising(built.engine)
    return distributed.count_for_all(world, built, lambda images: None, CPU, None), asked


def test_operations_of_one_process_are_scaled_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrix products cost the same per image in any process."""
    alone, of_two = (counted(world, monkeypatch)[0] for world in (World(), MainOfTwo()))
    assert alone.flops_per_image == of_two.flops_per_image is not None


def test_launches_and_energy_are_measured_only_for_a_single_process(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, asked = counted(World(), monkeypatch)
    assert alone.roofline is not None and alone.roofline.launch_bound == 0.5 and asked
    of_two, asked = counted(MainOfTwo(), monkeypatch)
    assert of_two.roofline is not None and of_two.roofline.launch_bound is None and not asked
    assert of_two.energy.reason == "not measured for several processes"
