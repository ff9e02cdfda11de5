"""Games of a discriminator that reconstructs images: the error of a reconstruction is the energy of the image.

The discriminator lowers the energy of real images and raises that of fakes; the generator lowers that of its fakes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

import genbench
from genbench.builtin.losses.adversarial import EquilibriumOptions, MarginOptions, PullingOptions

_VALUES = (1, 2, 3)  # the dimensions of one image


def absolute_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Return the mean of |v - D(v)| over the values of each image, (B,) (Berthelot et al. 2017, section 3.1, η = 1)."""
    return (images - reconstructions).abs().mean(_VALUES)


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Return the mean of (v - D(v))² over the values of each image, (B,) (Zhao et al. 2017, section 2.3)."""
    return (images - reconstructions).square().mean(_VALUES)


def mean_energy(fake_energies: Tensor, real_energies: Tensor | None = None) -> Tensor:
    """E L(G(z)), which the generator minimises."""
    return fake_energies.mean()


def pulling_away(codes: Tensor) -> Tensor:
    """Return the mean squared cosine between the codes of different images, in [0, 1] (Zhao et al. 2017, eq. 6).

    Args:
        codes: (B, …), of B > 1 fakes. 0: orthogonal; 1: all parallel.
    """
    directions = normalize(codes.flatten(1), dim=1)
    cosines = directions @ directions.T
    count = len(codes)
    # The cosine of a code with itself is 1; it is 0 for a code of zeros, which no other is parallel to.
    return (cosines.square().sum() - cosines.diagonal().square().sum()) / (count * (count - 1))


class Equilibrium(nn.Module):
    """The controller of BEGAN: k is the weight of the fakes in the discriminator's loss."""

    k: Tensor

    def __init__(self, options: EquilibriumOptions) -> None:
        super().__init__()
        self.gamma, self.gain = options.gamma, options.gain
        self.register_buffer("k", torch.zeros(()))

    def forward(self, real_energies: Tensor, fake_energies: Tensor) -> genbench.Objective:
        """Return E L(x) - k E L(G(z)), then move k (Berthelot et al. 2017, section 3.4).

        The term `convergence` is M = E L(x) + |γ E L(x) - E L(G(z))|, which falls as training converges (3.4.1).
        """
        real, fake, k = real_energies.mean(), fake_energies.mean(), self.k.clone()
        balance = (self.gamma * real - fake).detach()
        with torch.no_grad():
            self.k.add_(self.gain * balance).clamp_(0, 1)
        return genbench.Objective(real - k * fake, {"k": k, "convergence": real.detach() + balance.abs()})


def began(options: EquilibriumOptions) -> genbench.AdversarialLoss:
    """Return the game at equilibrium (Berthelot et al. 2017, section 3.4)."""
    controller = Equilibrium(options)
    return genbench.AdversarialLoss(
        lambda real, fake: controller(real, fake), mean_energy, boundary=None, module=controller, energy=absolute_error
    )


def ebgan_pt(options: PullingOptions) -> genbench.AdversarialLoss:
    """Return the game with a margin whose generator pulls the codes of its fakes apart (Zhao et al. 2017, eq. 6)."""

    def features(real_codes: Tensor, fake_codes: Tensor) -> Tensor:
        return options.pulling_away * pulling_away(fake_codes)

    return replace(ebgan(options), features=features)


def ebgan(options: MarginOptions) -> genbench.AdversarialLoss:
    """Return the game with a margin (Zhao et al. 2017, eq. 1 and 2)."""

    def discriminator(real_energies: Tensor, fake_energies: Tensor) -> Tensor:
        return real_energies.mean() + (options.margin - fake_energies).relu().mean()

    return genbench.AdversarialLoss(discriminator, mean_energy, boundary=None, energy=squared_error)
