"""Nearest neighbours among feature vectors, block by block, never with a matrix of all distances.

Squared distances |a|² + |b|² - 2 a·b come from a float32 matrix product of centred features, which is fast and has an
error of about 1e-7 of |a|² + |b|². That is accurate enough to find neighbours, but not to order copies of an image. So
the distance of every pair found is recomputed from the difference in float64, and so is that of every pair whose
comparison is uncertain (`nearer_than`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ERROR_BOUND = 4e-6  # relative to a tile's largest |a|² + |b|²: 20 times the error of a float32 product, 2e-7
ROWS = 512  # of a tile of distances
_PAIR_VALUES = 1 << 20  # feature values converted to float64 at a time


@dataclass(frozen=True)
class Tile:
    """Squared distances (A, B) between two blocks of features, float32, not negative."""

    squared: Tensor
    error: float  # largest absolute error


def tile(a: Tensor, b: Tensor) -> Tile:
    """Return the squared distances between centred float32 features (A, d) and (B, d)."""
    of_a, of_b = a.square().sum(1), b.square().sum(1)
    squared = torch.addmm(of_b.expand(len(a), -1), a, b.T, alpha=-2).add_(of_a[:, None]).clamp_min_(0)
    return Tile(squared, ERROR_BOUND * float(of_a.max() + of_b.max()))


def row_numbers(features: Tensor, rows: int = ROWS) -> tuple[Tensor, ...]:
    """Return the row numbers of features (N, d) on their device, at most `rows` at a time."""
    return torch.split(torch.arange(len(features), device=features.device), rows)


def centred(features: Tensor, rows: Tensor, centre: Tensor) -> Tensor:
    """Return some rows minus the centre, float32: distances are unchanged, and products lose less precision."""
    return features[rows].sub_(centre).float()


def exact_squared_distances(a: Tensor, a_rows: Tensor, b: Tensor, b_rows: Tensor) -> Tensor:
    """Return |a - b|² of each pair of rows, float64, (pairs,): exactly 0 for copies."""
    found = torch.empty(
        len(a_rows), dtype=torch.float64, device=a.device
    )  # allocated once: many small tensors between large ones would fragment memory
    chunk = max(1, _PAIR_VALUES // a.shape[1])
    for pairs in torch.split(torch.arange(len(a_rows), device=a.device), chunk):
        found[pairs] = (a[a_rows[pairs]].double() - b[b_rows[pairs]].double()).square_().sum(1)
    return found


def nearer_than(
    found: Tile, limits: Tensor, a: Tensor, a_rows: Tensor, b: Tensor, b_rows: Tensor, of_rows: bool
) -> Tensor:
    """Return where a tile's squared distance is below the limit of its row (or column), bool (A, B).

    `a_rows` and `b_rows` are the tile's row numbers in the features, and `limits` are exact squared distances, float64.
    Comparisons within the tile's error are repeated in float64, so that ties are exact.
    """
    gap = found.squared - (limits.float()[:, None] if of_rows else limits.float())
    nearer = gap < 0
    rows, columns = (gap.abs_() <= found.error).nonzero(as_tuple=True)
    if len(rows):
        again = exact_squared_distances(a, a_rows[rows], b, b_rows[columns])
        nearer[rows, columns] = again < limits[rows if of_rows else columns]
    return nearer


@dataclass(frozen=True)
class Nearest:
    """The nearest references of each query."""

    distances: Tensor  # (N, k), float64, ascending
    indices: Tensor  # (N, k), int64: rows of the references


def nearest(queries: Tensor, references: Tensor, k: int = 1, excluding: Tensor | None = None) -> Nearest:
    """Return the k nearest of the references (M, d) to each of the queries (N, d), and how far they are.

    `excluding` is one reference per query to ignore, int64 (N,): the query itself. Among neighbours whose distances are
    equal in float32, any may be returned; the returned distances are exact. Raises ValueError
    where there are fewer references than k.
    """
    available = len(references) - (excluding is not None)
    if available < k:
        raise ValueError(f"{k} nearest images were requested, but there are only {available}.")
    centre = references.mean(0)
    values, indices = [], []
    device = queries.device
    for rows in row_numbers(queries):
        a = centred(queries, rows, centre)
        best = torch.full((len(rows), k), torch.inf, device=device)
        which = torch.zeros((len(rows), k), dtype=torch.int64, device=device)
        for columns in row_numbers(references, 4 * ROWS):
            squared = tile(a, centred(references, columns, centre)).squared
            if excluding is not None:
                own = excluding[rows] - columns[0]
                here = ((own >= 0) & (own < len(columns))).nonzero().squeeze(1)
                squared[here, own[here]] = torch.inf
            _merge_nearest(best, which, torch.arange(len(rows), device=device), squared, columns)
        exact = exact_squared_distances(queries, rows.repeat_interleave(k), references, which.flatten())
        found, order = exact.view(-1, k).sqrt().sort(1)
        values.append(found)
        indices.append(which.gather(1, order))
    return Nearest(torch.cat(values), torch.cat(indices))


def nearest_others(features: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k nearest other images of each of the images (N, d): squared distances and row numbers, (N, k) both.

    Ascending, float32; infinite if there are fewer than k. Each distance is computed once for both images.
    """
    n, centre = len(features), features.mean(0)
    best = torch.full((n, k), torch.inf, device=features.device)
    which = torch.zeros((n, k), dtype=torch.int64, device=features.device)
    strips = row_numbers(features)
    for first, rows in enumerate(strips):
        a = centred(features, rows, centre)
        for columns in strips[first:]:
            if columns is rows:
                squared = tile(a, a).squared
                squared.fill_diagonal_(torch.inf)  # an image is not its own neighbour
            else:
                squared = tile(a, centred(features, columns, centre)).squared
                _merge_nearest(best, which, columns, squared.T.contiguous(), rows)
            _merge_nearest(best, which, rows, squared, columns)
    return best, which


def _merge_nearest(best: Tensor, which: Tensor, rows: Tensor, squared: Tensor, others: Tensor) -> None:
    """Update the nearest of some rows with further candidates `others` at these squared distances."""
    k = best.shape[1]
    near, at = squared.topk(min(k, squared.shape[1]), largest=False)
    best[rows], order = torch.cat([best[rows], near], 1).topk(k, largest=False)
    which[rows] = torch.cat([which[rows], others[at]], 1).gather(1, order)
