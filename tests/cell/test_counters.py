"""Operations counted with torch's formulas equal those computed by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from genbench.cell import counters, step_counters
from genbench.cell.counters import (
    CounterRecord,
    count,
    flops_per_image,
    flops_per_sample,
    measure_energy,
)
from genbench.cell.evaluator import Evaluator
from genbench.cell.observations import Observations
from genbench.data.loading import LoadedData
from genbench.measure import clock
from genbench.measure.energy import EnergyMeter
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import CellIdentity
from genbench.sampling.sampler import sample, samples_per_second
from genbench.train.builder import Built, build_cell
from genbench.train.engine import Engine

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def built(catalogue: Catalogue, model: str, **given: object) -> tuple[Built, CellIdentity, LoadedData]:
    pixels = torch.randint(0, 256, (40, 1, 28, 28), dtype=torch.uint8)
    request = make_request({"models": model, "batch_size": 8, **given})
    (cell,) = make_plan(request, catalogue, "cpu").cells
    data = LoadedData(pixels, None, pixels[:4], None, 0, "", ())
    return build_cell(cell.identity, catalogue, data, CPU), cell.identity, data


def engine(catalogue: Catalogue, model: str, **given: object) -> Engine:
    return built(catalogue, model, **given)[0].engine


def test_a_vae_of_three_matrix_products(catalogue: Catalogue) -> None:
    """784 → 400 → 2·20, 20 → 400 → 784: forward, and backward twice except for the input of the first layer."""
    forward = 784 * 400 + 2 * 400 * 20 + 20 * 400 + 400 * 784
    backward = 2 * forward - 784 * 400  # images need no gradient
    assert flops_per_image(engine(catalogue, "vae")) == 2 * (forward + backward)


def test_the_frozen_discriminator_costs_no_weight_gradients(catalogue: Catalogue) -> None:
    g = 100 * 128 + 128 * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
    d = 784 * 512 + 512 * 256 + 256
    g_cost = g + 2 * g - 100 * 128  # latents need no gradient
    d_phase = 2 * (d + 2 * d - 784 * 512)  # on real images and on fakes
    through_d = d + d  # forward, and backward to the fakes
    assert flops_per_image(engine(catalogue, "gan")) == 2 * (g_cost + d_phase + through_d)


def test_a_lazy_penalty_counts_with_weight_1_over_k_and_a_double_backward_is_counted(catalogue: Catalogue) -> None:
    def of(every: int) -> float:
        settings = {"r1": {"penalty_every": every}}
        return flops_per_image(engine(catalogue, "gan", losses="r1", set=settings))

    plain = flops_per_image(engine(catalogue, "gan", losses="non-saturating"))
    assert of(4) - plain == pytest.approx(4 * (of(16) - plain))
    assert of(4) > plain


def test_discriminator_steps_are_divided_by_the_images_they_consume(catalogue: Catalogue) -> None:
    one, five = (flops_per_image(engine(catalogue, "gan", discriminator_steps=steps)) for steps in (1, 5))
    assert five < one  # five batches, one generator update


def test_counting_leaves_the_engine_where_it_was(catalogue: Catalogue) -> None:
    counted = engine(catalogue, "gan")
    counted.step()
    counted.read_terms()
    flops_per_image(counted)
    assert counted.step_number == 1
    assert counted.observer is None


def test_a_sample_costs_one_pass_of_the_network_that_makes_it_however_many_are_drawn(catalogue: Catalogue) -> None:
    cell = built(catalogue, "gan", ema_half_life=100)
    g = 100 * 128 + 128 * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
    for images in (2, 5):
        assert flops_per_sample(lambda n: sample(*cell, CPU, n), images) == 2 * g


def test_a_network_that_runs_35_times_per_sample_costs_35_passes() -> None:
    network = torch.nn.Linear(3, 5)
    assert flops_per_sample(lambda n: [network(torch.ones(n, 3)) for _ in range(35)]) == 35 * 2 * 3 * 5


def test_a_failed_counter_loses_only_its_own_value(catalogue: Catalogue) -> None:
    def fail(images: int) -> None:
        raise RuntimeError("no formula")

    found: CounterRecord = count(engine(catalogue, "vae"), fail, CPU, energy_seconds=0)
    assert found.flops_per_sample is None
    assert found.flops_per_image
    assert found.notes == ["floating-point operations of a sample could not be counted: RuntimeError: no formula"]


def test_samples_per_second_leaves_out_the_warm_up_and_the_last_batch_of_another_size() -> None:
    assert samples_per_second([(256, 9.0), (256, 2.0), (256, 4.0), (10, 5.0)]) == (128 + 64) / 2
    assert samples_per_second([(200, 4.0)]) == 50
    assert samples_per_second([(256, 4.0), (10, 1.0)]) == 64


def test_samples_for_the_curves_are_timed_separately_from_training(catalogue: Catalogue, tmp_path: Path) -> None:
    timed: list[str] = []

    @contextmanager
    def timing() -> Iterator[None]:
        yield
        timed.append("evaluated")

    cell, identity, data = built(catalogue, "gan")
    observations = Observations((1, 28, 28))
    evaluator = Evaluator(cell, identity, data, catalogue, CPU, tmp_path / "best", timing, observations)
    assert "diversity" in evaluator.observe()
    assert [frame.step for frame in observations.frames] == [0]
    assert timed == ["evaluated"]


def test_energy_per_image_is_the_energy_of_the_pass_divided_by_its_images(catalogue: Catalogue) -> None:
    readings = iter([{"package": 10.0}, {"package": 14.0}])
    meter = EnergyMeter(lambda: next(readings), "a counter")
    found = measure_energy(engine(catalogue, "vae"), CPU, 0.2, meter)
    assert found.joules == 4.0
    assert found.seconds >= 0.2
    assert found.images > 0
    assert found.joules_per_image == pytest.approx(4.0 / found.images)


def test_energy_is_measured_over_whole_windows_and_losses_are_read_after_the_counter_has_stopped(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = engine(catalogue, "vae")
    events: list[str] = []

    def noting(owner: object, name: str, event: str) -> None:
        original = getattr(owner, name)

        def noted(*arguments: object) -> object:
            events.append(event)
            return original(*arguments)

        monkeypatch.setattr(owner, name, noted)

    noting(clock, "synchronise", "wait")
    noting(trained, "step", "step")
    noting(trained, "read_terms", "read")
    meter = EnergyMeter(lambda: events.append("counter") or {"package": 1.0}, "a counter")
    measure_energy(trained, CPU, 1.0, meter)
    begin, end = (number for number, event in enumerate(events) if event == "counter")
    inside = events[begin:end]
    assert "read" not in inside
    assert events[end + 1 :] == ["read"]
    assert inside.count("wait") < inside.count("step") / 3  # two for each half a second


def test_the_launch_bound_fraction_is_measured_before_the_profiler_is_used(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(counters, "count_launches", lambda engine, device: order.append("profiler") or {})

    def launch_bound(engine: Engine, device: torch.device) -> float:
        order.append("launch-bound")
        return 0.25

    found = count(engine(catalogue, "vae"), lambda number: None, CPU, 0.0, launch_bound=launch_bound)
    assert order == ["launch-bound", "profiler"]
    assert found.roofline is not None
    assert found.roofline.launch_bound == 0.25


def test_launches_that_the_profiler_cannot_see_are_unknown(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(step_counters, "_profile_calls", lambda engine, device: Counter({"aten::mm": 3}))
    assert step_counters.count_launches(engine(catalogue, "vae"), cuda) == {}
    monkeypatch.setattr(step_counters, "_profile_calls", lambda engine, device: Counter({"cudaLaunchKernel": 3}))
    assert step_counters.count_launches(engine(catalogue, "vae"), cuda) == {"kernels": 3.0, "graphs": 0.0}
