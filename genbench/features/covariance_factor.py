"""Factors of covariance matrices, from which the Fréchet distance is computed."""

from __future__ import annotations

import torch
from torch import Tensor

_PIVOT = 1e-10  # relative to the largest squared pivot; a smaller one may be rounding of a singular covariance


def factor_of(covariance: Tensor, rank: int | None = None) -> Tensor:
    """Return a factor (r, d), factorᵀ factor = covariance (d, d), with at most `rank` rows if it is known.

    Directions without spread, whose eigenvalues rounding may make negative, are dropped. If there are none, a Cholesky
    factor is as accurate as one from eigenvectors and ten times as fast.
    """
    d = len(covariance)
    if rank is None or rank >= d:
        lower, failed = torch.linalg.cholesky_ex(covariance)
        pivots = lower.diagonal().square()
        if not failed and float(pivots.min()) > _PIVOT * float(pivots.max()):
            upper: Tensor = lower.T.contiguous()
            return upper
    values, vectors = torch.linalg.eigh(covariance)  # in ascending order
    if rank is not None:
        values, vectors = values[-rank:], vectors[:, -rank:]
    kept = values > d * torch.finfo(values.dtype).eps * values.max()
    factor: Tensor = (vectors[:, kept] * values[kept].sqrt()).T.contiguous()
    return factor
