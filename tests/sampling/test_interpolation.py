"""Interpolation strips: rows between pairs of latents, drawn as samples are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.results.schema import CellIdentity
from genbench.sampling.interpolation import PAIRS, STEPS, interpolation_strips
from genbench.train.builder import Built, build_cell

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return combine(map(load_plugin, builtin_plugins()))


def built(catalogue: Catalogue, model: str, **given: Any) -> tuple[Built, CellIdentity, LoadedData]:
    request = make_request({"models": model, "batch_size": 8, **given})
    (cell,) = make_plan(request, catalogue, "cpu").cells
    pixels, labels = torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10
    data = LoadedData(pixels, labels, pixels, labels, 10, "", ())
    return build_cell(cell.identity, catalogue, data, CPU), cell.identity, data


class Recorded:
    """A family with latents whose images are the mean of each latent; it notes what it received."""

    def __init__(self) -> None:
        self.drawn: list[Tensor] = []
        self.received: list[tuple[Tensor, Tensor | None]] = []

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        self.drawn.append(torch.randn(count, 20, generator=rng))
        return self.drawn[-1]

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.received.append((latents, labels))
        return latents.mean(dim=1).sigmoid()[:, None, None, None].expand(-1, 1, 28, 28)

    phases = sample = reconstruct = lambda self: None


@pytest.mark.parametrize(("given", "at_once"), [({}, PAIRS), ({"sample_statistics": "batch"}, 256)])
def test_rows_lead_from_one_latent_to_another_with_one_label(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], at_once: int
) -> None:
    cell, identity, data = built(catalogue, "cdcgan", set={"cdcgan": {"width": 8}}, **given)
    family = Recorded()
    monkeypatch.setattr(Built, "family_for_sampling", lambda self: family)
    images = interpolation_strips(cell, identity, data, CPU)
    assert images is not None
    assert images.shape == (PAIRS * STEPS, 1, 28, 28)
    first, last = family.drawn
    assert len(first) == len(last) == at_once
    assert len(family.received) == STEPS
    assert torch.allclose(family.received[0][0], first)
    assert torch.allclose(family.received[-1][0], last, atol=1e-6)
    labels = [labels for _, labels in family.received]
    assert all(one is not None and torch.equal(one, labels[0]) for one in labels)  # type: ignore[arg-type]
    low, high = cell.model.value_range
    rows = images[:, 0, 0, 0].view(PAIRS, STEPS).float() / 255 * (high - low) + low
    assert torch.allclose(rows[:, 0], first[:PAIRS].mean(dim=1).sigmoid(), atol=0.01)
    assert torch.allclose(rows[:, -1], last[:PAIRS].mean(dim=1).sigmoid(), atol=0.01)


def test_the_same_weights_give_the_same_strips_and_networks_stay_as_they_are(catalogue: Catalogue) -> None:
    cell = built(catalogue, "vae", set={"vae": {"hidden": 8}})
    before = {name: tensor.clone() for name, tensor in cell[0].sampled_networks["decoder"].state_dict().items()}
    first, second = (interpolation_strips(*cell, CPU) for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    after = cell[0].sampled_networks["decoder"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_family_without_continuous_latents_has_none(catalogue: Catalogue) -> None:
    small = {"width": 8, "prior_width": 4, "prior_layers": 1}
    assert interpolation_strips(*built(catalogue, "vq-vae", set={"vq-vae": small}), CPU) is None


def test_images_that_are_not_finite_are_refused(catalogue: Catalogue) -> None:
    cell = built(catalogue, "vae", set={"vae": {"hidden": 8}})
    with torch.no_grad():
        next(cell[0].sampled_networks["decoder"].parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        interpolation_strips(*cell, CPU)
