"""Timings of genbench's parts with pytest-benchmark: ``pytest benchmarks --benchmark-enable``.

Each target synchronises the device before it returns. The training step keeps its state, so rounds are fixed and not
calibrated.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from genbench.execute.building import Built, build_cell
from genbench.execute.loading import load_data
from genbench.measure import machine
from genbench.plan.catalogue import discover
from genbench.plan.matrix import make_plan
from genbench.plan.request import make_request

BATCH = 32


def build(model: str) -> Built:
    """Build a cell on the default dataset."""
    catalogue = discover()
    (cell,) = make_plan(make_request({"models": model, "batch_size": BATCH}), catalogue, "cpu").cells
    data = load_data(cell.identity.dataset, cell.identity.image_shape, catalogue)
    return build_cell(cell.identity, catalogue, data, torch.device("cpu"))


@pytest.mark.parametrize("model", ["gan", "dcgan", "vae", "conv-vae"])
def test_training_step(benchmark: BenchmarkFixture, model: str) -> None:
    engine = build(model).engine
    benchmark.extra_info.update(machine=machine.processor(), threads=torch.get_num_threads(), batch_size=BATCH)
    benchmark.pedantic(engine.step, rounds=30, iterations=1, warmup_rounds=10)
    assert engine.step_number >= 1
    engine.read_terms()


@pytest.mark.parametrize("model", ["gan", "dcgan", "vae", "conv-vae"])
def test_sampling(benchmark: BenchmarkFixture, model: str) -> None:
    family = build(model).family_for_sampling()
    rng = torch.Generator().manual_seed(0)

    def sample() -> torch.Tensor:
        with torch.inference_mode():
            return family.sample(256, rng)

    images = benchmark.pedantic(sample, rounds=10, iterations=1, warmup_rounds=2)
    assert images.shape == (256, 1, 28, 28)


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=lambda a: a[0])
def test_start(benchmark: BenchmarkFixture, arguments: list[str]) -> None:
    def start() -> int:
        return subprocess.run([sys.executable, "-m", "genbench", *arguments], stdout=subprocess.DEVNULL).returncode

    assert benchmark.pedantic(start, rounds=10, iterations=1, warmup_rounds=1) == 0
