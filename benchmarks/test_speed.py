"""Timings of genbench's parts with pytest-benchmark: ``pytest benchmarks --benchmark-enable``.

Each target synchronises with the device before it returns. Targets with state, such as training, are timed for a fixed
number of rounds without calibration. Each timing comes with a description of the machine and its hash, and with
counters that do not depend on the machine: floating-point operations, operators, host reads.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from genbench.api.specs import resolve
from genbench.cell.counters import flops_per_sample
from genbench.cell.step_counters import count_steps
from genbench.data.loading import LoadedData, load_data
from genbench.features.extract import extract
from genbench.metrics.frechet import frechet_distance, statistics
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import CellIdentity
from genbench.runner.compile_cache import keep_compiled_code
from genbench.sampling.sampler import draw, sample
from genbench.train.builder import Built, build_cell
from genbench.train.engine import Eager
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.memory_format_choice import choose_memory_format
from genbench.train.network_checks import count_parameters

BATCH = 64
STEPS = 10  # per round
DRAWN = 1024  # images
MODELS = ["gan", "dcgan", "vae", "conv-vae"]

Cell: TypeAlias = tuple[Built, CellIdentity, LoadedData]
Synchronised: TypeAlias = Callable[[Callable[[], object]], Callable[[], object]]
Facts: TypeAlias = dict[str, object]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return discover()


def build(model: str, catalogue: Catalogue, device: torch.device, **recipe: Any) -> Cell:
    """Build a cell on the default dataset, as a worker does."""
    request = make_request({"models": model, "batch_size": BATCH, **recipe})
    (cell,) = make_plan(request, catalogue, device.type).cells
    data = load_data(cell.identity.dataset, cell.identity.image_shape, catalogue)
    built = build_cell(cell.identity, catalogue, data, device)
    choose_memory_format(built.engine)
    return built, cell.identity, data


@pytest.mark.parametrize("execution", ["eager", "compile", "graph"])
@pytest.mark.parametrize("model", MODELS)
def test_training_step(
    benchmark: BenchmarkFixture,
    synchronised: Synchronised,
    fingerprint: Facts,
    catalogue: Catalogue,
    device: torch.device,
    model: str,
    execution: str,
) -> None:
    if execution == "compile" and benchmark.disabled and model != "vae":
        pytest.skip("compiling is slow; without timing, vae represents the other models")
    keep_compiled_code()
    built, _, _ = build(model, catalogue, device)
    engine = built.engine
    try:
        engine.execution = open_execution(execution, engine)
    except EngineUnavailable as error:
        pytest.skip(str(error))
    before = engine.step_number

    def steps() -> None:
        for _ in range(STEPS):
            engine.step()

    benchmark.pedantic(synchronised(steps), rounds=10, iterations=1, warmup_rounds=2)
    assert engine.step_number - before >= STEPS
    assert all(values.isfinite().all() for values in engine.read_terms().values())
    engine.execution.close()
    engine.execution = Eager()
    counted = count_steps(engine, device)
    benchmark.extra_info.update(
        fingerprint,
        batch_size=BATCH,
        steps_per_round=STEPS,
        images_per_round=STEPS * engine.images_per_step,
        parameters=count_parameters(built.setup.networks),
        flops_per_image=counted.flops_per_image,
        counters=msgspec.to_builtins(counted.counters),
    )


@pytest.mark.parametrize("mode", ["resident", "loader"])
def test_batches(
    benchmark: BenchmarkFixture,
    synchronised: Synchronised,
    fingerprint: Facts,
    catalogue: Catalogue,
    device: torch.device,
    mode: str,
) -> None:
    images = build("dcgan", catalogue, device, input=mode)[0].engine.data

    def batches() -> None:
        for _ in range(STEPS):
            images.next_batch()

    benchmark.pedantic(synchronised(batches), rounds=30, iterations=1, warmup_rounds=2)
    images.close()
    benchmark.extra_info.update(fingerprint, batch_size=BATCH, batches_per_round=STEPS)


@pytest.mark.parametrize("model", MODELS)
def test_sampling(
    benchmark: BenchmarkFixture,
    synchronised: Synchronised,
    fingerprint: Facts,
    catalogue: Catalogue,
    device: torch.device,
    model: str,
) -> None:
    cell = build(model, catalogue, device)
    drawn: Any = benchmark.pedantic(
        synchronised(lambda: draw(*cell, device, DRAWN, reconstruct=False)), rounds=10, iterations=1, warmup_rounds=1
    )
    assert drawn.samples.pixels.shape == (DRAWN, 1, 28, 28)
    flops = flops_per_sample(lambda count: sample(*cell, device, count))
    benchmark.extra_info.update(fingerprint, images_per_round=DRAWN, flops_per_sample=flops)


def test_features(
    benchmark: BenchmarkFixture,
    synchronised: Synchronised,
    fingerprint: Facts,
    catalogue: Catalogue,
    device: torch.device,
) -> None:
    extractor = resolve(catalogue.require("extractors", "fashion-cnn").spec.load)(device)
    pixels = torch.randint(0, 256, (DRAWN, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features: Any = benchmark.pedantic(
        synchronised(lambda: extract(extractor, pixels, device, 256)), rounds=10, iterations=1, warmup_rounds=1
    )
    assert features.shape == (DRAWN, 64)
    flops = flops_per_sample(lambda count: extractor(pixels[:count]))
    benchmark.extra_info.update(fingerprint, images_per_round=DRAWN, flops_per_image=flops)


@pytest.mark.parametrize(("count", "width"), [(2000, 64), (1000, 2048)])
def test_distance(benchmark: BenchmarkFixture, fingerprint: Facts, count: int, width: int) -> None:
    rng = torch.Generator().manual_seed(0)
    reference = statistics(torch.randn(count, width, generator=rng))
    features = torch.randn(count, width, generator=rng) + 1
    distance: Any = benchmark.pedantic(
        lambda: frechet_distance(statistics(features), reference), rounds=3, iterations=1, warmup_rounds=1
    )
    assert distance > 0.9 * width  # |μ₁ - μ₂|² alone is about one for each feature
    benchmark.extra_info.update(fingerprint, features=count, width=width)


@pytest.mark.parametrize(
    "arguments",
    [["-c", "import genbench"], ["-m", "genbench", "--help"], ["-m", "genbench", "list"]],
    ids=["import", "help", "list"],
)
def test_start(benchmark: BenchmarkFixture, fingerprint: Facts, arguments: list[str]) -> None:
    def start() -> int:
        return subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL).returncode

    assert benchmark.pedantic(start, rounds=10, iterations=1, warmup_rounds=1) == 0
    benchmark.extra_info.update(fingerprint)
