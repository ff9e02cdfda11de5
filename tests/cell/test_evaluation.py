"""Drawing from a model: the requested number of images, in batches of one size, rounded to bytes; reconstructions."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from genbench.cell.evaluator import Evaluator
from genbench.cell.observations import Observations
from genbench.data.loading import LoadedData, load_data
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.results.schema import CellIdentity
from genbench.sampling import sampler
from genbench.sampling.inference import to_levels
from genbench.sampling.sampler import SAMPLING_BATCH, Drawn, draw
from genbench.train.builder import Built, build_cell
from genbench.train.divergence import Diverged

CPU = torch.device("cpu")


def cell(model: str, **recipe: Any) -> tuple[Built, CellIdentity, LoadedData]:
    catalogue = discover()
    (planned,) = make_plan(make_request({"models": model, **recipe}), catalogue, "cpu").cells
    data = load_data(planned.identity.dataset, planned.identity.image_shape, catalogue)
    return build_cell(planned.identity, catalogue, data, CPU), planned.identity, data


def drawn(count: int, made: tuple[Built, CellIdentity, LoadedData], reconstruct: bool = False) -> Drawn:
    return draw(*made, CPU, count, reconstruct)


def pixels(found: Drawn) -> torch.Tensor:
    return torch.as_tensor(found.samples.pixels)


def test_values_become_bytes_by_rounding_to_the_nearest_level_and_clamping() -> None:
    values = torch.tensor([-1.2, -1.0, 0.0, 1.0, 1.3])
    assert to_levels(values, -1.0, 1.0).tolist() == [0, 0, 128, 255, 255]
    assert to_levels(torch.tensor([0.4 / 255, 0.6 / 255]), 0.0, 1.0).tolist() == [0, 1]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("model", ["gan", "cgan", "vae"])
def test_the_requested_number_of_images_is_drawn_in_batches_of_one_size_if_that_matters(
    model: str, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "_prefers_fixed_size", lambda device: whole)
    made, sizes = cell(model), []
    generator = made[0].sampled_networks["decoder" if model == "vae" else "generator"]
    hook = generator.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    for count in (3, SAMPLING_BATCH, SAMPLING_BATCH + 100):
        found = drawn(count, made)
        assert pixels(found).shape == (count, 1, 28, 28)
        assert found.per_second > 0
    hook.remove()
    assert sizes == ([3, *3 * [SAMPLING_BATCH]] if whole else [3, *2 * [SAMPLING_BATCH], 100])


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_the_first_images_are_the_same_however_many_are_drawn(model: str) -> None:
    made = cell(model)
    more = pixels(drawn(2 * SAMPLING_BATCH, made))
    for count in (SAMPLING_BATCH, SAMPLING_BATCH + 100):
        assert torch.equal(pixels(drawn(count, made))[:SAMPLING_BATCH], more[:SAMPLING_BATCH])


@pytest.mark.parametrize("whole", [True, False])
def test_a_reconstruction_does_not_depend_on_the_rest_of_its_batch(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "_prefers_fixed_size", lambda device: whole)
    made = cell("conv-vae")
    built, _, data = made
    found = drawn(2, made, reconstruct=True).reconstructions
    assert found is not None
    originals, again = found
    assert torch.equal(originals, data.test_pixels.float() / 255)
    last = data.test_pixels[-3:].float() / 255
    low, high = built.model.value_range
    with torch.inference_mode():
        for network in built.sampled_networks.values():
            network.eval()
        alone = built.family_for_sampling().reconstruct(last * (high - low) + low, None)
    assert torch.allclose((alone - low) / (high - low), again[-3:], atol=1e-5)


def test_only_samples_are_drawn_in_the_precision_of_the_recipe() -> None:
    single, rounded = (drawn(64, cell("vae", precision=name), reconstruct=True) for name in ("fp32", "bf16"))
    difference = (pixels(single).int() - pixels(rounded).int()).abs()
    assert 0 < difference.max() <= 4  # of 256 levels; bf16 has 8 bits of mantissa
    assert single.reconstructions is not None and rounded.reconstructions is not None
    assert torch.equal(single.reconstructions[1], rounded.reconstructions[1])


def test_samples_that_are_not_finite_are_a_divergence_and_identical_ones_are_reported() -> None:
    made = cell("gan")
    generator = made[0].sampled_networks["generator"]
    assert not drawn(8, made).identical
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
    assert drawn(300, made).identical
    with torch.no_grad():
        next(iter(generator.parameters())).fill_(float("nan"))
    with pytest.raises(Diverged):
        drawn(300, made)


def test_an_evaluation_says_how_many_samples_features_and_metrics_are_done(tmp_path: Path) -> None:
    catalogue = discover()
    request = make_request({"models": "gan", "samples": 300, "metrics": "fd-fashion-cnn,diversity"})
    (planned,) = make_plan(request, catalogue, "cpu").cells
    data = load_data(planned.identity.dataset, planned.identity.image_shape, catalogue)
    built = build_cell(planned.identity, catalogue, data, CPU)
    said: list[tuple[str, int, int]] = []
    evaluator = Evaluator(
        built=built,
        identity=planned.identity,
        data=data,
        catalogue=catalogue,
        device=CPU,
        best_path=tmp_path / "best",
        timing=nullcontext,
        observations=Observations((1, 28, 28)),
        show=lambda *at: said.append(at),
    )
    evaluator.measure(evaluator.draw())
    assert said[:2] == [("generating samples", SAMPLING_BATCH, 300), ("generating samples", 300, 300)]
    assert [at for at in said if at[0].startswith("measuring")] == [
        ("measuring fd-fashion-cnn", 1, 2),
        ("measuring diversity", 2, 2),
    ]
    assert ("features of fd-fashion-cnn", 300, 300) in said
