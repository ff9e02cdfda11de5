"""The metric `mig`, the mutual information gap: does exactly one latent encode each known factor?

Chen et al. 2018, "Isolating Sources of Disentanglement in Variational Autoencoders", equation 6: the mutual information
of a factor with the most informative latent, minus that with the second most informative, divided by the entropy of the
factor; averaged over the factors. Latents are represented by posterior means. These and real-valued factors are put
into 20 equal bins between their minimum and maximum, as in Locatello et al. 2019, "Challenging Common Assumptions".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.likelihood import NO_MEANS, no_bound
from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates

NAME = "mig"
BINS = 20


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean gap over the known factors of the held-out images, with its delete-block jackknife error.

    Counts in 20 x 20 cells overestimate mutual information for few images, which the difference partly cancels: compare
    values at equal n. A factor given to a conditional model as its label need not be in its latents, and then lowers
    the mean.
    """
    bound, factors = evaluation.bound(1), evaluation.factors
    if bound is None:
        return Unavailable(NAME, no_bound(evaluation))
    if not factors:
        return Unavailable(NAME, "the factors of variation of this dataset are not known.")
    if bound.mean is None:
        return Unavailable(NAME, NO_MEANS)
    count, latents = bound.mean.shape
    if latents < 2:
        return Unavailable(NAME, "a gap needs at least two latents.")
    constant = [name for name, values in factors.items() if bool((values == values[0]).all())]
    if constant:
        return Unavailable(NAME, f"the factor '{constant[0]}' is the same in all held-out images.")
    blocks = make_blocks(count, evaluation.generator("jackknife of mig"))
    value, replicates = gaps_without(bound.mean, factors, blocks)
    has_error = len(blocks) > 0 and bool(replicates.isfinite().all())
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=standard_error_from_replicates(replicates) if has_error else None,
        n=count,
        direction="higher",
        protocol={"factors": ", ".join(factors), "bins": BINS, "latents": "posterior means", "split": "test"},
    )


def mutual_information_gap(means: Tensor, factors: Mapping[str, Tensor]) -> float:
    """Return the mean gap, in [0, 1], of posterior means (N, latent_dim ≥ 2) and factors (N,), none constant."""
    return gaps_without(means, factors, [])[0]


def gaps_without(means: Tensor, factors: Mapping[str, Tensor], blocks: Sequence[Tensor]) -> tuple[float, Tensor]:
    """Return the mean gap over all images and without each block of rows, (blocks,); bins are those of all images."""
    latents = equal_bins(means.double().T)
    gaps = []
    for values in factors.values():
        classes = as_classes(values)
        tables = [_tables(latents, classes, block) for block in blocks]
        whole = _tables(latents, classes, torch.arange(len(classes)))
        gaps.append([_gap(whole), *(_gap(whole - table) for table in tables)])
    value, *replicates = torch.tensor(gaps, dtype=torch.float64).mean(0)
    return float(value), torch.stack(replicates) if replicates else torch.zeros(0)


def equal_bins(values: Tensor, bins: int = BINS) -> Tensor:
    """Return the bin, int64 0 … bins - 1, of each value of (…, N), with equal bins over the range of its row."""
    least, greatest = values.amin(-1, keepdim=True), values.amax(-1, keepdim=True)
    width = (greatest - least).clamp_min(torch.finfo(values.dtype).tiny)
    return ((values - least) / width * bins).long().clamp(0, bins - 1)


def as_classes(factor: Tensor) -> Tensor:
    """Return the class, int64 0, 1, …, of each value (N,): real numbers by bin, each integer a class of its own."""
    values = equal_bins(factor.double()) if factor.is_floating_point() else factor
    return torch.unique(values, return_inverse=True)[1]  # type: ignore[no-any-return]


def _tables(latents: Tensor, classes: Tensor, rows: Tensor) -> Tensor:
    """Return how many of these rows lie in each bin of each latent and each class, (latent_dim, bins, classes)."""
    one_hot = torch.nn.functional.one_hot(classes[rows], int(classes.max()) + 1).double()
    tables = torch.zeros(len(latents), BINS, one_hot.shape[1], dtype=torch.float64)
    for table, bins in zip(tables, latents[:, rows], strict=True):
        table.index_add_(0, bins, one_hot)
    return tables


def _gap(tables: Tensor) -> float:
    """Return (I₁ - I₂) / H of the two latents most informative about a factor; the base of the logarithm cancels."""
    joint = tables / tables[0].sum()
    factor = joint[0].sum(0)
    entropy = _entropy(factor)
    information = _entropy(joint.sum(2)) + entropy - _entropy(joint.flatten(1))
    first, second = information.topk(2).values
    return float((first - second) / entropy)


def _entropy(shares: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(shares).sum(-1)
    return entropy
