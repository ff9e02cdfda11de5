"""Known factors of variation: checked against the declaration of a dataset, and cached with its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genbench
from genbench.builtin.datasets.generated import ShapesOptions
from genbench.builtin.datasets.generated.rendering import Factors, render
from genbench.builtin.datasets.generated.shapes import load as load_shapes
from genbench.data.loading import LoadedData, load_data
from genbench.plugins.catalogue import Catalogue, Entry
from genbench.plugins.loader import Plugin
from genbench.results.schema import Choice, PluginOrigin

ORIGIN = PluginOrigin(plugin="acme", distribution="acme", version="1")


def start(factors: dict[str, Any], declared: tuple[str, ...] = ("x", "Größe/µ"), signature: str = "") -> LoadedData:
    pixels = np.zeros((4, 1, 2, 2), dtype=np.uint8)

    def load(options: None, cache: Path) -> genbench.ImageData:
        return genbench.ImageData(genbench.Images(pixels), genbench.Images(pixels[:3]), factors=factors)

    spec = genbench.DatasetSpec(
        name="acme",
        image_shape=(1, 2, 2),
        load=load,
        factors=declared,
        signature=(lambda options, cache: signature) if signature else None,
    )
    catalogue = Catalogue(datasets={"acme": Entry(spec, Plugin("acme", "entry-point", "acme", "acme", "1"))})
    return load_data(Choice(name="acme", origin=ORIGIN), (1, 2, 2), catalogue)


GOOD = {"Größe/µ": torch.tensor([3, 1, 2]), "x": np.array([0.5, -1.0, 2.5])}


@pytest.mark.parametrize("signature", ["", "first"])
def test_factors_come_in_the_declared_order_from_the_loader_and_from_the_cache(signature: str) -> None:
    for mapped in (False, True) if signature else (False,):
        loaded = start(
            GOOD if not mapped else {}, signature=signature
        )  # now the loader would fail, but it is not called
        assert list(loaded.factors) == ["x", "Größe/µ"]
        assert loaded.factors["x"].tolist() == [0.5, -1.0, 2.5]
        assert loaded.factors["Größe/µ"].tolist() == [3, 1, 2]
        assert loaded.factors["Größe/µ"].dtype == torch.int64


def test_factors_that_are_declared_later_invalidate_the_cache() -> None:
    assert start({}, (), "second").factors == {}
    assert list(start(GOOD, signature="second").factors) == ["x", "Größe/µ"]


def test_the_hash_is_that_of_the_images() -> None:
    assert start(GOOD).hash == start({}, ()).hash == start(GOOD, signature="third").hash


@pytest.mark.parametrize(
    ("factors", "named"),
    [
        ({"x": torch.zeros(3)}, "returned the factors x, but the spec declares x, Größe/µ"),
        ({**GOOD, "y": torch.zeros(3)}, "y, but the spec declares x"),
        ({**GOOD, "x": torch.zeros(4)}, "factor 'x' is torch.float32 (4,)"),
        ({**GOOD, "x": torch.zeros(3, 1)}, "factor 'x' is torch.float32 (3, 1)"),
        ({**GOOD, "x": torch.tensor([0.0, 1.0, float("nan")])}, "not one finite number"),
    ],
)
def test_undeclared_factors_are_rejected(factors: dict[str, Any], named: str) -> None:
    with pytest.raises(genbench.DataError) as raised:
        start(factors)
    assert named in str(raised.value)


def test_the_factors_of_shapes_are_those_of_the_held_out_images(tmp_path: Path) -> None:
    data = load_shapes(ShapesOptions(size=16, count=50), tmp_path)
    assert list(data.factors) == ["shape", "scale", "x", "y"]
    pixels = torch.as_tensor(data.test.pixels).float()
    assert torch.equal(data.factors["shape"], torch.as_tensor(data.test.labels))
    lit = pixels[:, 0] / pixels.sum((1, 2, 3))[:, None, None]
    centres = (torch.arange(16) + 0.5) / 16
    symmetric = data.factors["shape"] != 2  # the centre of a heart is not its centre of mass
    for name, axis in (("x", 1), ("y", 2)):
        centre = (lit.sum(axis) * centres).sum(1)
        torch.testing.assert_close(centre[symmetric], data.factors[name][symmetric], atol=0.01, rtol=0)


def test_a_square_looks_the_same_after_a_quarter_turn_and_an_ellipse_after_half_a_turn() -> None:
    """This is why the rotation of `shapes` is not one of its factors."""

    def picture(shape: int, rotation: float) -> torch.Tensor:
        place = (torch.tensor([value]) for value in (0.25, rotation, 0.5, 0.5))
        return render(Factors(torch.tensor([shape]), *place), 32).int()

    for shape, turn in ((0, torch.pi / 2), (1, torch.pi)):
        assert int((picture(shape, 0.3) - picture(shape, 0.3 + turn)).abs().max()) <= 2
