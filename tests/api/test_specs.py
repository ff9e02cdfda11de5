"""Specs: a record that breaks the contract is rejected on construction, and the message names the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import genbench
from genbench.api.specs import Spec, resolve
from genbench.errors import SpecError


@dataclass(frozen=True)
class Options:
    path: str = genbench.option("")
    size: int = genbench.option(64)
    channels: int = genbench.option(3)


MODEL = {"name": "m", "family": "adversarial", "build": "a.b:build", "default_loss": "minimax"}
LOSS = {"name": "l", "family": "adversarial", "create": "a.b:create"}
DATASET = {"name": "d", "image_shape": (1, 28, 28), "load": "a.b:load"}


@pytest.mark.parametrize("name", ["dcgan", "conv-vae", "fashion-mnist_2.1", "3d", "con", "console.1"])
def test_names_that_can_be_typed_are_allowed(name: str) -> None:
    assert Spec(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", "My-GAN", "a b", "a:b", "a,b", "a/b", "-a", ".a", "ä", "a\n", "con.x", "nul.x", "com1.x", 3, None]
)
def test_other_names_are_rejected(name: Any) -> None:
    with pytest.raises(SpecError, match="has the name"):
        Spec(name=name)


@pytest.mark.parametrize(
    ("spec", "base", "change", "why"),
    [
        (genbench.ModelSpec, MODEL, {"name": "m" * 300}, r"has a name of 300 characters[\s\S]*at most 50"),
        (genbench.LossSpec, LOSS, {"name": "m" * 51}, r"has a name of 51 characters"),
        (genbench.DatasetSpec, DATASET, {"name": "m" * 51}, r"has a name of 51 characters"),
        (genbench.ModelSpec, MODEL, {"summary": 3}, "summary must be str"),
        (genbench.ModelSpec, MODEL, {"conditional": "yes"}, "conditional must be bool"),
        (genbench.ModelSpec, MODEL, {"latent_dim": True}, "latent_dim must be int"),
        (genbench.ModelSpec, MODEL, {"latent_dim": 0}, "positive integer"),
        (genbench.ModelSpec, MODEL, {"family": ""}, "family must be named"),
        (genbench.ModelSpec, MODEL, {"default_loss": ""}, "default_loss must be named"),
        (genbench.ModelSpec, MODEL, {"build": "no colon"}, "build must be a callable or 'module:attribute'"),
        (genbench.ModelSpec, MODEL, {"build": None}, "build must be a callable"),
        (genbench.ModelSpec, MODEL, {"image_shapes": []}, "image_shapes must be a list of shapes"),
        (genbench.ModelSpec, MODEL, {"image_shapes": 28}, "image_shapes must be a list of shapes"),
        (genbench.ModelSpec, MODEL, {"image_shapes": (1, 28, 28)}, r"must be \(channels, height, width\), not 1"),
        (genbench.ModelSpec, MODEL, {"image_shapes": [(28, 28)]}, "channels, height, width"),
        (genbench.ModelSpec, MODEL, {"image_shapes": [(1, 28, 28.0)]}, "channels, height, width"),
        (genbench.ModelSpec, MODEL, {"image_shapes": [(1, 0, 28)]}, "channels, height, width"),
        (genbench.ModelSpec, MODEL, {"value_range": (1, -1)}, "value_range"),
        (genbench.ModelSpec, MODEL, {"value_range": ("a", "b")}, "value_range"),
        (genbench.ModelSpec, MODEL, {"value_range": None}, "value_range"),
        (genbench.ModelSpec, MODEL, {"output": "pixels"}, "output"),
        (genbench.ModelSpec, MODEL, {"output": "logits"}, r"requires value_range \(0, 1\)"),
        (genbench.ModelSpec, MODEL, {"prior": "gaussian"}, "prior"),
        (genbench.ModelSpec, MODEL, {"recipe": None}, "recipe must be a mapping"),
        (genbench.ModelSpec, MODEL, {"options": ("width",)}, "ModelSpec 'm': options must be a dataclass"),
        (genbench.LossSpec, LOSS, {"family": 3}, "family must be str"),
        (genbench.LossSpec, LOSS, {"create": 3}, "create must be a callable"),
        (genbench.LossSpec, LOSS, {"recipe": ["batch_size"]}, "recipe must be a mapping"),
        (genbench.DatasetSpec, DATASET, {"image_shape": (28, 28)}, "image_shape must be"),
        (genbench.DatasetSpec, DATASET, {"image_shape": None}, "image_shape must be"),
        (genbench.DatasetSpec, DATASET, {"classes": 1.5}, "classes must be int"),
        (genbench.DatasetSpec, DATASET, {"train_size": "all"}, "train_size must be int"),
        (genbench.DatasetSpec, DATASET, {"argument": "path"}, "argument 'path' is not an option"),
        (genbench.DatasetSpec, DATASET, {"argument": "size", "options": Options}, "of type str"),
        (genbench.FamilySpec, {"name": "f", "create": "a:b"}, {"networks": "network"}, "must be a tuple of names"),
        (genbench.MetricSpec, {"name": "x", "measure": "a:b"}, {"direction": "up"}, "direction 'up'"),
        (genbench.ExtractorSpec, {"name": "x", "load": "a:b"}, {"metric": "is"}, "metric 'is' is not 'fd-…'"),
    ],
)  # fmt: skip
def test_a_broken_field_is_named(spec: Any, base: dict[str, Any], change: dict[str, Any], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        spec(**{**base, **change})


def test_shapes_and_ranges_may_be_written_as_lists() -> None:
    model = genbench.ModelSpec(**MODEL, image_shapes=[[1, 28, 28]], value_range=[0, 1])  # type: ignore[arg-type]
    assert model.image_shapes == ((1, 28, 28),)
    assert model.value_range == (0.0, 1.0)
    assert genbench.DatasetSpec(**{**DATASET, "image_shape": [3, 8, 9]}).image_shape == (3, 8, 9)


def test_options_named_size_and_channels_change_a_datasets_shape() -> None:
    spec = genbench.DatasetSpec(**DATASET, options=Options, argument="path")
    assert spec.shape({}) == (1, 28, 28)
    assert spec.shape({"size": 32}) == (1, 32, 32)
    assert spec.shape({"size": 32, "channels": 3}) == (3, 32, 32)


def test_an_extractor_names_its_distance() -> None:
    assert genbench.ExtractorSpec(name="clip", load="a:b").metric == "fd-clip"


def test_the_options_dataclass_of_the_author_receives_the_values() -> None:
    spec = genbench.DatasetSpec(**DATASET, options=Options)
    assert spec.make_options({"path": "p", "size": 8, "channels": 1}) == Options("p", 8, 1)
    assert genbench.LossSpec(**LOSS).make_options({}) is None


def test_a_target_is_imported_when_it_is_resolved() -> None:
    assert resolve("math:hypot")(3, 4) == 5
    assert resolve(len) is len
    for nothing in ("math:nothing", "math:pi"):
        with pytest.raises(SpecError, match="does not name a callable"):
            resolve(nothing)
