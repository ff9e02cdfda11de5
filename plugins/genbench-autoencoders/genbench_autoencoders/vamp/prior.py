"""The VampPrior: a mixture of Gaussians with equal weights (Tomczak & Welling 2018, equation 9)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench_autoencoders.bound import kl_between_normals, log_normal

_NEAR = 1.0  # nats: below this bound on the KL, the control variate of `rate` is used


@dataclass(frozen=True)
class Mixture:
    """K Gaussians with means and variances (K, d), fp32."""

    means: Tensor
    variances: Tensor

    def log_density(self, latents: Tensor) -> Tensor:
        """log 1/K Σ_k N(z; m_k, s_k²) of latents (N, d), (N,)."""
        parts = log_normal(latents[:, None], self.means, self.variances).sum(2)
        return torch.logsumexp(parts, 1) - math.log(len(self.means))

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return latents (count, d)."""
        chosen = torch.randint(len(self.means), (count,), generator=rng, device=self.means.device)
        noise = torch.randn((count, self.means.shape[1]), generator=rng, device=self.means.device)
        return self.means[chosen] + self.variances[chosen].sqrt() * noise

    def largest_kl(self, mean: Tensor, variance: Tensor) -> Tensor:
        """-log 1/K Σ_k exp(-KL(q ‖ N_k)) ≥ KL(q ‖ p) of Gaussians q (B, d), (B,) (Hershey & Olsen 2007, section 7)."""
        to_each = kl_between_normals(mean[:, None], variance[:, None], self.means, self.variances).sum(2)
        return math.log(len(self.means)) - torch.logsumexp(-to_each, 1)


def rate(log_ratios: Tensor, largest: Tensor) -> Tensor:
    """Estimate KL(q ‖ p) from log q(z) - log p(z) of K latents of q, (K, B), without bias: (B,).

    Where q is close to p, the plain mean may be negative by chance. E_q[p/q - 1] = 0 is then added, which leaves
    r + exp(-r) - 1 ≥ 0. Where q is far from p, draws hardly ever meet the places where p/q is large, and the plain mean
    is used. `largest` (B,), a bound on the KL, decides, so that the choice does not depend on the draws.
    """
    near = largest < _NEAR
    control = torch.expm1(-log_ratios.clamp(min=-20.0))
    return (log_ratios + torch.where(near, control, 0.0)).mean(0)
