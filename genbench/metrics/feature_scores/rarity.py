"""The metrics `rarity-k3-…` and `outside-k3-…`: how rare samples are among the training images.

Each training image has an open ball that reaches to its third nearest other training image. The balls together are the
estimated manifold. The rarity of a sample inside is the radius of the smallest ball that contains it: large where
training images are sparse (Han et al., 2023, arXiv:2206.08549, section 3.2). Samples outside have none; their share is
the second number, and 1 minus a precision with k = 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.evaluation import Direction, Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import (
    comparable_features,
    earned_name,
    held_out_features,
    protocol_of,
    too_many_copies,
)
from genbench.metrics.manifolds import radii
from genbench.metrics.neighbours import centred, nearer_than, row_numbers, tile
from genbench.metrics.standard_errors import mean_and_standard_error

K = 3


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the mean rarity of the samples inside the manifold, and the share of those outside.

    Both are means of one number per sample for given training images, so their errors are exact. `null` is the value of
    the held-out images, where there are any.
    """
    name = earned_name("rarity", evaluation, extractor)
    inside, outside = (name.replace("rarity", f"{which}-k{K}", 1) for which in ("rarity", "outside"))
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train")
        if len(train) <= K:
            raise ValueError(f"it needs more than {K} training images; there are {len(train)}.")
        empty = too_many_copies(train, K)
        if empty:
            raise ValueError(f"{empty} of the {len(train)} training images have {K} or more exact copies: remove them.")
    except ValueError as error:
        return [Unavailable(name, str(error))]
    device = evaluation.device
    squared = evaluation.of_data(f"{name}: radii", lambda: computed_on(device, lambda x: radii(x, K).cpu(), train))

    def rarities(images: Tensor) -> Tensor:
        found: Tensor = computed_on(device, rarity, train, images, squared).cpu()
        return found

    found = rarities(samples)
    within = found[found.isfinite()]
    held_out = held_out_features(evaluation, extractor)
    real = None if held_out is None else evaluation.of_data(f"{name}: held-out", lambda: rarities(held_out))
    real_within = None if real is None else real[real.isfinite()]
    n = len(samples)

    def estimate(
        metric: str, value: tuple[float, float | None], n: int, direction: Direction, null: float | None
    ) -> Estimate:
        protocol = protocol_of(evaluation, extractor, k=K, rule="distance < radius", n_samples=len(samples))
        return Estimate(metric, value[0], value[1], n, direction, protocol, null=null)

    left_out = mean_and_standard_error((~found.isfinite()).double())
    null = None if real is None else float((~real.isfinite()).double().mean())
    results: list[Estimate | Unavailable] = [estimate(outside, left_out, n, "lower", null)]
    if not len(within):
        return [Unavailable(inside, f"all {n} samples lie outside the manifold of the training images."), *results]
    null = None if real_within is None or not len(real_within) else float(real_within.mean())
    return [estimate(inside, mean_and_standard_error(within), len(within), "higher", null), *results]


def rarity(real: Tensor, samples: Tensor, squared_radii: Tensor) -> Tensor:
    """Return the radius of the smallest ball around real features (N, d) that contains each sample (M, d).

    (M,) float64; infinite for samples in none. `squared_radii` (N,) are those of the balls.
    """
    smallest = torch.full((len(samples),), torch.inf, dtype=torch.float64, device=samples.device)
    centre = real.mean(0)
    for columns in row_numbers(samples):
        b = centred(samples, columns, centre)
        for rows in row_numbers(real):
            found = tile(centred(real, rows, centre), b)
            inside = nearer_than(found, squared_radii[rows], real, rows, samples, columns, of_rows=True)
            reached = torch.where(inside, squared_radii[rows][:, None], torch.inf)
            smallest[columns] = torch.minimum(smallest[columns], reached.amin(0))
    return smallest.sqrt()
