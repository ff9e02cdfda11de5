"""Counters of a step: exact, reproducible, and changed by everything that makes a step more expensive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from genbench.api.training import Batch, Objective
from genbench.cell.counters import count, device_sync_notes
from genbench.cell.step_counters import (
    StepCounts,
    count_launch_calls,
    count_steps,
)
from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import Counters
from genbench.train.builder import build_cell
from genbench.train.engine import Engine, Execution
from genbench.train.network_checks import count_parameters

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def make_engine(catalogue: Catalogue, model: str, **given: object) -> Engine:
    pixels = torch.randint(0, 256, (40, 1, 28, 28), dtype=torch.uint8)
    (cell,) = make_plan(make_request({"models": model, "batch_size": 8, **given}), catalogue, "cpu").cells
    return build_cell(cell.identity, catalogue, LoadedData(pixels, None, pixels[:4], None, 0, "", ()), CPU).engine


def counts(engine: Engine) -> StepCounts:
    return count_steps(engine, CPU)


@pytest.mark.parametrize("model", ["gan", "dcgan", "vae"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_cell_has_the_same_counts_with_any_number_of_threads(
    catalogue: Catalogue, model: str, precision: str
) -> None:
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 2, 1):
            torch.set_num_threads(number)
            found.append(counts(make_engine(catalogue, model, precision=precision)))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
    assert found[0].counters.operations > 50


def test_counts_depend_neither_on_training_time_nor_on_the_position_in_an_epoch(catalogue: Catalogue) -> None:
    """Five batches make an epoch; the step that draws a new order would have one operator more."""
    engine = make_engine(catalogue, "vae")
    found = []
    for _ in range(6):
        found.append(counts(engine))
        engine.step()
    assert found.count(found[0]) == 6


@pytest.mark.parametrize("model", ["gan", "dcgan", "vae"])
def test_built_in_models_read_nothing_on_the_host_and_keep_channels_last(catalogue: Catalogue, model: str) -> None:
    found = counts(make_engine(catalogue, model)).counters
    assert (found.host_reads, found.waits, found.layout_copies) == (0, {}, 0)
    assert found.channels_last == found.convolutions
    assert (found.convolutions > 0) == (model == "dcgan")


# What a regression gate must detect, each with the counters that must show it.


def change_objective(engine: Engine, phase: str, first: Callable[[Batch], object]) -> None:
    player = next(player for player in engine.players if player.phase.name == phase)
    usual = player.phase.objective

    def changed(batch: Batch) -> Objective:
        first(batch)
        return usual(batch)

    player.phase = replace(player.phase, objective=changed)


def one_forward_pass_more(engine: Engine) -> None:
    change_objective(engine, "discriminator", lambda batch: engine.networks["discriminator"](batch.images))


def an_item_in_the_loop(engine: Engine) -> None:
    change_objective(engine, "generator", lambda batch: batch.images.mean().item())


def unfrozen_discriminator(engine: Engine) -> None:
    next(player for player in engine.players if player.phase.name == "generator").frozen = []


def forgotten_channels_last(engine: Engine) -> None:
    for network in engine.networks.values():
        network.to(memory_format=torch.contiguous_format)
    engine.data.finish.normalise.memory_format = torch.contiguous_format  # type: ignore[attr-defined]


def doubled_layer(engine: Engine) -> None:
    network = engine.networks["generator"]
    name, last = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)][-1]
    parent = network.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Sequential(last, nn.BatchNorm2d(last.num_features)))


FAULTS = {
    one_forward_pass_more: {"operations", "convolutions", "channels_last", "flops"},
    an_item_in_the_loop: {"host_reads", "operations"},
    unfrozen_discriminator: {"flops"},
    forgotten_channels_last: {"channels_last"},
    doubled_layer: {"operations", "parameters"},
}


def named(engine: Engine) -> dict[str, object]:
    found = counts(engine)
    whole = {name: getattr(found.counters, name) for name in found.counters.__struct_fields__}
    return {**whole, "flops": found.flops, "parameters": count_parameters(engine.networks)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_changes_its_counters_exactly_and_reproducibly(
    catalogue: Catalogue, fault: Callable[[Engine], None]
) -> None:
    usual = named(make_engine(catalogue, "dcgan"))
    found = []
    for _ in range(2):
        engine = make_engine(catalogue, "dcgan")
        fault(engine)
        found.append(named(engine))
    assert found[0] == found[1]
    changed = {name for name, value in usual.items() if found[0][name] != value}
    assert changed >= FAULTS[fault]


def test_an_item_is_one_read_and_its_line_is_named(catalogue: Catalogue) -> None:
    engine = make_engine(catalogue, "gan")
    an_item_in_the_loop(engine)
    found = counts(engine).counters
    line = an_item_in_the_loop.__code__.co_firstlineno + 1
    assert found.waits == {f"`.item()` at test_step_counters.py:{line}": 1.0}
    (note,) = device_sync_notes(found, CPU)
    assert note.startswith(f"synchronises with the device once per step: `.item()` at test_step_counters.py:{line}")


def test_an_unfrozen_discriminator_costs_its_weight_gradients_on_fakes(catalogue: Catalogue) -> None:
    usual, changed = make_engine(catalogue, "gan"), make_engine(catalogue, "gan")
    unfrozen_discriminator(changed)
    of_weights = 784 * 512 + 512 * 256 + 256
    assert counts(changed).flops_per_image - counts(usual).flops_per_image == 2 * of_weights


def test_a_phase_in_every_kth_step_counts_with_weight_1_over_k(catalogue: Catalogue) -> None:
    def of(every: int) -> Counters:
        engine = make_engine(catalogue, "gan", losses="r1", set={"r1": {"penalty_every": every}})
        lazy = next(player.phase.name for player in engine.players if player.phase.every == every)
        change_objective(engine, lazy, lambda batch: batch.images.sum().item())
        return counts(engine).counters

    fourth, sixteenth = of(4), of(16)
    plain = counts(make_engine(catalogue, "gan", losses="non-saturating")).counters
    assert (fourth.host_reads, sixteenth.host_reads) == (1 / 4, 1 / 16)
    assert fourth.operations - plain.operations == 4 * (sixteenth.operations - plain.operations)
    assert fourth.peak_bytes == sixteenth.peak_bytes > plain.peak_bytes


def test_counting_leaves_the_engine_where_it_was_and_eager(catalogue: Catalogue) -> None:
    engine = make_engine(catalogue, "vae")
    for _ in range(3):
        engine.step()
    closed: list[str] = []

    class Other(Execution):
        name = "other"

        def run(self, engine: Engine, due: object) -> None:
            raise AssertionError("only the eager step is counted")

        def close(self) -> None:
            closed.append("other")

    engine.execution = Other()
    found = count(engine, lambda images: None, CPU, energy_seconds=0)
    assert (engine.step_number, engine.observer, engine.execution.name, closed) == (3, None, "eager", ["other"])
    assert found.counters is not None
    assert found.counters.engine == "eager"
    assert found.roofline is not None
    assert found.roofline.mfu is None  # nothing was timed


def test_counts_with_a_loader_are_reproducible(catalogue: Catalogue) -> None:
    engine = make_engine(catalogue, "vae", input="loader")
    try:
        first = counts(engine)
        engine.data.close()
        assert counts(engine) == first
        assert first.counters.host_reads == 0
    finally:
        engine.data.close()


def test_launches_are_distinguished_from_other_calls_of_the_driver() -> None:
    calls = {
        "cudaLaunchKernel": 5,
        "cudaLaunchKernelExC": 2,
        "cuLaunchKernel": 3,
        "cudaGraphLaunch": 1,
        "cudaLaunchHostFunc": 7,
        "aten::add": 9,
        "cudaMemcpyAsync": 4,
    }
    assert count_launch_calls(calls) == {"kernels": 10, "graphs": 1}


def test_device_syncs_that_only_torch_detects_are_reported_too() -> None:
    (note,) = device_sync_notes(Counters(device_waits=2.0), torch.device("cuda"))
    assert note == "synchronises with the device 2 times per step: torch does not report where"
    assert device_sync_notes(Counters(), CPU) == []
