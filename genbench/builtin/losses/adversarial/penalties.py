"""Penalties on the gradient of a discriminator with respect to its input images (N, channels, height, width).

Each uses one norm per image and is itself differentiable, so that it can be minimised. The gradient of the sum of the
logits equals the gradient of each image's own logit only where images do not interact inside the network, as they do
with batch norm (Gulrajani et al. 2017, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Discriminator: TypeAlias = Callable[[Tensor], Tensor]  # images (N, channels, height, width) -> logits (N,)

_PIXELS = (1, 2, 3)  # the dimensions of one image


def input_gradient(discriminator: Discriminator, images: Tensor) -> Tensor:
    """Return ∂D(x)/∂x, with the shape of `images`, and its graph."""
    points = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
    return gradient


def zero_centred(discriminator: Discriminator, images: Tensor) -> Tensor:
    """½ E ‖∇D(x)‖²: R1 on real images, R2 on fakes (Mescheder et al. 2018, eq. 9 and 10)."""
    squared_norms = input_gradient(discriminator, images).square().sum(_PIXELS)
    return 0.5 * squared_norms.mean()


def one_centred(discriminator: Discriminator, images: Tensor) -> Tensor:
    """E (‖∇D(x)‖ - 1)² (Gulrajani et al. 2017, eq. 3)."""
    norms: Tensor = torch.linalg.vector_norm(input_gradient(discriminator, images), dim=_PIXELS)
    return (norms - 1).square().mean()


def interpolate(real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """Return ε·real + (1-ε)·fake with one ε ~ U(0, 1) per image (Gulrajani et al. 2017, alg. 1)."""
    epsilon = torch.rand((len(real), 1, 1, 1), generator=rng, device=real.device, dtype=real.dtype)
    return torch.lerp(fake, real, epsilon)


def perturb(real: Tensor, scale: float, rng: torch.Generator) -> Tensor:
    """Return x + scale·std(x)·U(0, 1), with noise per pixel and the standard deviation of the whole batch.

    The code of Kodali et al. 2017 samples the neighbourhood of real images in this way.
    """
    noise = torch.rand(real.shape, generator=rng, device=real.device, dtype=real.dtype)
    return real + scale * real.std(correction=0) * noise
