"""Latent space: interpolation between two latents, and truncation of the prior."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genbench.measure.capabilities import float64_device

Prior = Literal["normal", "uniform"]


def truncate(latents: Tensor, prior: Prior, psi: float) -> Tensor:
    """Map latents of the prior to latents of the prior truncated at ±psi, for more typical and less diverse images.

    For a normal prior this is the truncated normal of Brock et al. 2019 ("Large Scale GAN Training", section 3.1), who
    resample values beyond the bound. Here each latent keeps its quantile, so a seed gives a more typical version of the
    same image: z' = Φ⁻¹(Φ(-ψ) + Φ(z) (Φ(ψ) - Φ(-ψ))). For a uniform prior the same is z' = ψ z.

    Args:
        latents: (N, …), drawn from the prior.
        prior: N(0, 1) or U(-1, 1).
        psi: above 0; for a uniform prior at most 1. Raises `ValueError` otherwise.
    """
    if not 0 < psi < float("inf") or (prior == "uniform" and psi > 1):
        raise ValueError(f"psi must be above 0{' and at most 1' if prior == 'uniform' else ''}, not {psi:g}")
    if prior == "uniform":
        return latents * psi
    exact = _exact(latents)
    edge = torch.tensor(psi, dtype=torch.float64, device=exact.device)
    low, high = torch.special.ndtr(-edge), torch.special.ndtr(edge)
    cut = torch.special.ndtri(low + torch.special.ndtr(exact) * (high - low))
    kept: Tensor = cut.clamp(-edge, edge).to(latents)
    return kept


def interpolate_latents(first: Tensor, last: Tensor, steps: int, prior: Prior) -> Tensor:
    """Return latents (steps, …) interpolated from one latent (…) to another, both ends included.

    For a normal prior the path is the great circle, sin((1-t)ω)/sin ω · a + sin(tω)/sin ω · b with ω the angle between
    them (Shoemake 1985; for latents White 2016, "Sampling Generative Networks"): a straight line would pass through
    latents of smaller norm than the model was trained on. For a uniform prior it is the straight line.
    """
    if steps < 2:
        raise ValueError(f"an interpolation has at least 2 steps, not {steps}")
    one, other = _exact(first).flatten(), _exact(last).flatten()
    t = torch.linspace(0, 1, steps, dtype=torch.float64, device=one.device)[:, None]
    straight = torch.lerp(one[None], other[None], t)
    cosine = (one @ other) / (one.norm() * other.norm()).clamp_min(1e-12)
    angle = cosine.clamp(-1, 1).arccos()
    along = (torch.sin((1 - t) * angle) * one + torch.sin(t * angle) * other) / angle.sin().clamp_min(1e-12)
    on_a_line = angle.sin() < 1e-6  # the great circle is undefined
    path = straight if prior == "uniform" else torch.where(on_a_line, straight, along)
    return path.reshape(steps, *first.shape).to(first)


def _exact(values: Tensor) -> Tensor:
    """Return values in double precision, on the CPU where their device has none."""
    return values.to(float64_device(values.device)).double()
