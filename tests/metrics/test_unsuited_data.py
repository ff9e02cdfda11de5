"""Held-out images tell whether features suit the data: near the null on clothes, far above it on coloured discs."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate
from genbench.api.images import Images
from genbench.builtin.datasets.fashion_mnist_mini import load
from genbench.gate.reference_scale import is_unsuited
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.measuring import measure
from genbench.plugins.chosen_metrics import chosen_metrics
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.results.cache import cache_directory

TRAIN, HELD_OUT = 2000, 500


def coloured_discs(count: int) -> Tensor:
    """Return a small disc in one of three colours on each image, uint8 (count, 3, 16, 16)."""
    rng = torch.Generator().manual_seed(0)
    grid = torch.linspace(-1, 1, 16)
    centre = 1.4 * torch.rand(count, 2, 1, generator=rng) - 0.7
    radius = 0.05 + 0.15 * torch.rand(count, 1, 1, generator=rng)
    across, down = (grid - centre[:, 0])[:, None, :], (grid - centre[:, 1])[:, :, None]
    colour = torch.eye(3)[torch.randint(3, (count,), generator=rng)].view(count, 3, 1, 1)
    return ((across**2 + down**2 < radius**2)[:, None] * colour * 255).to(torch.uint8)


def of_held_out(pixels: Tensor) -> Estimate:
    catalogue = load_catalogue([])
    train, held_out = Images(pixels[:TRAIN]), Images(pixels[TRAIN : TRAIN + HELD_OUT])
    extractors = {name: entry.spec for name, entry in catalogue.extractors.items()}
    evaluation = CellEvaluation(
        samples=held_out, train=train, test=held_out, device=torch.device("cpu"), extractors=extractors
    )
    (found,), _ = measure(chosen_metrics(["fd-fashion-cnn"], catalogue), evaluation, False)
    return found


def test_clothes_suit_the_default_extractor_and_coloured_discs_do_not() -> None:
    clothes = of_held_out(torch.as_tensor(load(None, cache_directory()).train.pixels))
    discs = of_held_out(coloured_discs(TRAIN + HELD_OUT))
    assert clothes.null is not None
    assert discs.null is not None
    assert not is_unsuited(clothes.value, clothes.standard_error, clothes.null)
    assert is_unsuited(discs.value, discs.standard_error, discs.null)
