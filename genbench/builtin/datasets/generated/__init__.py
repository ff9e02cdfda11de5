"""Generated datasets with known modes or factors: names and options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import genbench

_HERE = "genbench.builtin.datasets.generated"


@dataclass(frozen=True)
class GaussianOptions:
    """Options of `gaussian-ring` and `gaussian-grid`."""

    count: int = genbench.option(50_000, "points, a fifth of them held out", minimum=100, maximum=10_000_000)
    seed: int = genbench.option(0, "random seed", minimum=0)


@dataclass(frozen=True)
class StackedOptions:
    """Options of `stacked-fashion-mnist`."""

    count: int = genbench.option(25_600, "images, a fifth of them held out", minimum=10, maximum=1_000_000)
    seed: int = genbench.option(0, "random seed", minimum=0)


@dataclass(frozen=True)
class ShapesOptions:
    """Options of `shapes`."""

    size: int = genbench.option(64, "height and width in pixels", minimum=8, maximum=512)
    count: int = genbench.option(10_000, "images, a fifth of them held out", minimum=10, maximum=1_000_000)
    seed: int = genbench.option(0, "random seed of the factors", minimum=0)


def specs() -> Iterable[genbench.DatasetSpec]:
    """Yield the specs."""
    for name, modes, summary in (
        ("gaussian-ring", 8, "2-D points from 8 narrow Gaussians on a circle: does a model find all of them?"),
        ("gaussian-grid", 25, "2-D points from 25 narrow Gaussians on a 5×5 grid: does a model find all of them?"),
    ):
        function = name.replace("-", "_")
        yield genbench.DatasetSpec(
            name=name,
            summary=summary,
            image_shape=(1, 1, 2),
            load=f"{_HERE}.gaussians:load_{function}",
            options=GaussianOptions,
            classes=modes,
            licence="none needed",
            source="generated from a seed",
            points=True,
            modes=modes,
            mode_of=f"{_HERE}.gaussians:mode_of_{function}",
        )
    yield genbench.DatasetSpec(
        name="stacked-fashion-mnist",
        summary="three random images of fashion-mnist-mini as red, green and blue: 10×10×10 = 1,000 modes",
        image_shape=(3, 28, 28),
        load=f"{_HERE}.stacked:load",
        options=StackedOptions,
        classes=1000,
        licence="MIT, © 2017 Zalando SE",
        source="composed of images in this package",
        modes=1000,
        mode_of=f"{_HERE}.stacked:mode_of",
    )
    yield genbench.DatasetSpec(
        name="shapes",
        summary="a square, ellipse or heart whose position, scale and rotation are known",
        image_shape=(1, 64, 64),
        load=f"{_HERE}.shapes:load",
        options=ShapesOptions,
        classes=3,
        licence="none needed",
        source="rendered from factors drawn with a seed",
        factors=("shape", "scale", "x", "y"),
    )
