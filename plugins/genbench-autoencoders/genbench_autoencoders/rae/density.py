"""The density of codes from which a regularised autoencoder draws images: one Gaussian, and a mixture of Gaussians.

The paper fits it after training (ex post) to the codes of all training images. Here both fits follow the codes of each
step, and forget old ones, so that a model can be sampled at any time and resumed exactly: all state is in buffers. At a
constant learning rate the codes of the last `MEMORY` batches differ little from those of the final encoder.

The mixture is fitted by stepwise expectation maximisation: the sufficient statistics s_k = E r_k (1, z, zzᵀ), r_k the
responsibility of component k, move towards those of the batch, and weights, means and covariances are computed from
them (Cappé & Moulines 2009, arXiv:0712.4273, equation 11).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 100  # approximate number of recent batches in the statistics
_DECAY = -0.6  # exponent of the weights of new batches: bad first estimates are soon forgotten
_IDLE = 0.1  # a component with less than this fraction of an equal share is started again at a code of the batch
_RIDGE = 1e-3  # added to variances, as a fraction of the mean variance of codes, so that no component degenerates


class FittedDensity(nn.Module):
    """Both densities of codes (B, d); `observe` follows the codes, `draw` and `draw_gaussian` return new ones."""

    batches: Tensor
    mean: Tensor
    second: Tensor
    shares: Tensor
    sums: Tensor
    products: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.components = components
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("second", torch.eye(dim))  # E zzᵀ
        self.register_buffer("shares", torch.full((components,), 1 / components))  # E r_k
        self.register_buffer("sums", torch.zeros(components, dim))  # E r_k z
        self.register_buffer("products", torch.eye(dim).repeat(components, 1, 1) / components)  # E r_k zzᵀ

    @torch.no_grad()
    def observe(self, codes: Tensor) -> None:
        """Add the codes (B, d) of the n-th batch to the statistics, with the weight max(n^-0.6, 1 / `MEMORY`)."""
        with torch.autocast(codes.device.type, enabled=False):
            codes = codes.float()
            first = self.batches < 1
            self.batches += 1
            rate = self.batches.pow(_DECAY).clamp(min=1 / MEMORY)
            outer = codes[:, :, None] * codes[:, None, :]
            self.mean.lerp_(codes.mean(0), rate)
            self.second.lerp_(outer.mean(0), rate)
            responsibilities = self.log_joint(codes).softmax(1)
            weights = responsibilities / len(codes)
            self.shares.lerp_(weights.sum(0), rate)
            self.sums.lerp_((weights[:, :, None] * codes[:, None, :]).sum(0), rate)
            self.products.lerp_((weights.T @ outer.flatten(1)).view_as(self.products), rate)
            self._restart(codes, first)

    def covariance(self) -> Tensor:
        """Return the covariance of all codes, (d, d)."""
        return self.second - torch.outer(self.mean, self.mean) + self._ridge()

    def mixture(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return weights (K,), means (K, d) and covariances (K, d, d) of the components."""
        means = self.sums / self.shares[:, None]
        covariances = self.products / self.shares[:, None, None] - means[:, :, None] * means[:, None, :]
        return self.shares / self.shares.sum(), means, covariances + self._ridge()

    def log_joint(self, codes: Tensor) -> Tensor:
        """Return log w_k + log N(z; m_k, C_k), (B, K); its logsumexp over k is the log-density of codes (B, d)."""
        weights, means, covariances = self.mixture()
        factors, _ = torch.linalg.cholesky_ex(covariances)
        centred = (codes[None] - means[:, None]).mT  # K × d × B
        whitened = torch.linalg.solve_triangular(factors, centred, upper=False)
        log_scale = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = 0.5 * codes.shape[1] * torch.log(torch.tensor(2 * torch.pi, device=codes.device))
        return (-0.5 * whitened.square().sum(1)).T - log_scale - constant + weights.log()  # type: ignore[no-any-return]

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return codes (count, d) of the mixture."""
        weights, means, covariances = self.mixture()
        uniform = torch.rand(count, 1, generator=rng, device=means.device)
        chosen = (uniform > weights.cumsum(0)).sum(1).clamp(max=self.components - 1)
        noise = torch.randn(count, means.shape[1], 1, generator=rng, device=means.device)
        return means[chosen] + (_square_roots(covariances)[chosen] @ noise).squeeze(2)

    def draw_gaussian(self, count: int, rng: torch.Generator) -> Tensor:
        """Return codes (count, d) of the Gaussian with the mean and the covariance of all codes."""
        noise = torch.randn(count, len(self.mean), generator=rng, device=self.mean.device)
        return self.mean + noise @ _square_roots(self.covariance()).mT

    def _ridge(self) -> Tensor:
        variance = (self.second.diagonal() - self.mean.square()).mean().clamp_min(1e-8)
        ridge: Tensor = _RIDGE * variance * torch.eye(len(self.mean), device=self.mean.device)
        return ridge

    def _restart(self, codes: Tensor, first: Tensor) -> None:
        """Start idle components, and all in the first step, at codes of the batch with the covariance of all codes."""
        least = _IDLE / self.components
        restarted = (self.shares < least) | first
        share = torch.where(first, 1 / self.components, least)
        places = torch.arange(self.components, device=codes.device) * len(codes) // self.components
        centres = codes[places]
        products = self.covariance() + centres[:, :, None] * centres[:, None, :]
        self.shares.copy_(torch.where(restarted, share, self.shares))
        self.sums.copy_(torch.where(restarted[:, None], share * centres, self.sums))
        self.products.copy_(torch.where(restarted[:, None, None], share * products, self.products))


def _square_roots(covariances: Tensor) -> Tensor:
    """Return A with A Aᵀ = C for each covariance, also where rounding has made an eigenvalue negative."""
    values, vectors = torch.linalg.eigh(covariances)
    return vectors * values.clamp_min(0).sqrt().unsqueeze(-2)  # type: ignore[no-any-return]
