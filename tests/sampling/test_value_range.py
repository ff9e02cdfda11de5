"""Images outside the declared range are an error wherever they are measured; clipped, they would be other images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import TINY
from torch import Tensor
from warm import run

from genbench.data.loading import LoadedData
from genbench.errors import SpecError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.sampling.generate import _to_bytes
from genbench.sampling.sampler import draw
from genbench.train.builder import build_cell
from genbench.train.divergence import Diverged

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def noise() -> LoadedData:
    pixels = torch.randint(256, (16, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return LoadedData(pixels, None, pixels, None, 0, "", ())


def drawn(catalogue: Catalogue, change: Callable[[Tensor], Tensor], model: str = "gan", **recipe: Any) -> None:
    """Draw from a model whose images are changed once it is built."""
    request = make_request({"models": model, "profile": "smoke", "batch_size": 8, **recipe}, ())
    identity = make_plan(request, catalogue, "cpu").cells[0].identity
    built = build_cell(identity, catalogue, noise(), CPU)
    family: Any = built.family_for_sampling()
    generate = family.generate
    family.generate = lambda latents, labels=None: change(generate(latents, labels))
    object.__setattr__(built, "family_for_sampling", lambda: family)
    draw(built, identity, noise(), CPU, 12)


def test_the_message_names_the_model_the_range_and_what_came(catalogue: Catalogue) -> None:
    expected = r"Model 'gan' declares value_range \(-1, 1\) but once trained generates values from -1\.\d+ to 1\.\d+"
    with pytest.raises(SpecError, match=expected) as error:
        drawn(catalogue, lambda images: images.sign() * 1.2)
    assert "activation of that range" in error.value.cure


@pytest.mark.parametrize("recipe", [{}, {"ema_half_life": 100.0}], ids=["raw", "averaged"])
def test_one_value_of_one_image_is_enough_whatever_the_weights(catalogue: Catalogue, recipe: dict[str, Any]) -> None:
    def change(images: Tensor) -> Tensor:
        images[-1, 0, 3, 4] = -1.01
        return images

    with pytest.raises(SpecError, match=r"from -1\.01 to"):
        drawn(catalogue, change, **recipe)


@pytest.mark.parametrize(("precision", "beyond"), [("fp32", 1.001), ("bf16", 1.0078125)])
def test_rounding_is_no_violation(catalogue: Catalogue, precision: str, beyond: float) -> None:
    """The number that follows 1 in bfloat16 is 1 + 2⁻⁷."""
    drawn(catalogue, lambda images: images.sign() * beyond, precision=precision)


def test_reconstructions_are_checked_too(catalogue: Catalogue) -> None:
    calls = []

    def change(images: Tensor) -> Tensor:
        calls.append(len(images))
        return images if len(calls) == 1 else torch.full_like(images, 2.0)  # the first batch is generated

    with pytest.raises(SpecError, match=r"once trained reconstructs images with values from 2 to 2"):
        drawn(catalogue, change, "vae")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_an_error_of_their_own(catalogue: Catalogue, value: float) -> None:
    with pytest.raises(Diverged, match="not finite"):
        drawn(catalogue, lambda images: images.index_fill(0, torch.tensor([2]), value))


def test_the_command_sample_refuses_them(catalogue: Catalogue) -> None:
    spec = catalogue.models["gan"].spec
    trained: Any = SimpleNamespace(
        model=spec, identity=SimpleNamespace(image_shape=(1, 2, 2)), recipe=SimpleNamespace(precision="fp32")
    )
    assert _to_bytes(trained, torch.ones(3, 1, 2, 2), 3).unique().tolist() == [255]
    with pytest.raises(SpecError, match=r"once trained generates values from -1\.5 to -1\.5"):
        _to_bytes(trained, torch.full((3, 1, 2, 2), -1.5), 3)


PLUGIN = '''
import genbench
import torch
from torch import nn


class Growing(nn.Module):
    """In the range as built; every update of its factor leads further out of it."""

    def __init__(self, latent_dim, values, shape):
        super().__init__()
        self.body, self.shape = nn.Linear(latent_dim, values), shape
        self.steps = nn.Buffer(torch.zeros(()))

    def forward(self, latents):
        if self.training:
            self.steps += 1
        return (self.body(latents).tanh() * (0.9 + 0.1 * self.steps)).unflatten(1, self.shape)


def build(image_shape, latent_dim, num_classes, options):
    values = image_shape[0] * image_shape[1] * image_shape[2]
    return {
        "generator": Growing(latent_dim, values, image_shape),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(values, 1)),
    }


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(name="growing", family="adversarial", build=build, default_loss="non-saturating")
'''


def test_the_cell_fails(tmp_path: Path) -> None:
    plugin = tmp_path / "growing.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    done = run(*TINY, "--plugin", str(plugin), "--models", "growing", out=tmp_path / "run")
    assert done.code == 5
    (cell,) = done.run_cells
    assert cell.status == "failed"
    assert "Model 'growing' declares value_range (-1, 1) but once trained generates values from -" in cell.reason
    assert cell.estimates == []
