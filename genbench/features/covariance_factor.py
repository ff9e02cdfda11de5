"""Factors of covariances: what the Fréchet distance is computed from."""

from __future__ import annotations

import torch
from torch import Tensor

_PIVOT = 1e-10  # a squared pivot this far below the largest one may be rounding: the covariance may be singular


def factor_of(covariance: Tensor, rank: int | None = None) -> Tensor:
    """Return a factor (r, d), factorᵀ factor = covariance (d, d), of no more rows than `rank` where it is known.

    Directions without spread, and the negative eigenvalues that rounding gives them, are dropped. Where there are none
    a Cholesky factor is as good as one of eigenvectors, and ten times as fast.
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
