"""The loss of StyleGAN2: non-saturating, with R1 and path-length regularisation (Karras et al. 2020, appendix B).

A step in the intermediate latents w should change the image by a distance that depends on neither w nor the direction
of the step. So for random images y the length of Jᵀy, J the Jacobian of the synthesis, is pulled towards its own moving
average a (equation 4). With y ~ N(0, I / pixels) and the mean square over layers, the weight 2 is the paper's
γ_pl = ln 2 / (r² (ln r - ln 2)) for r × r pixels: there are 2 (log₂ r - 1) layers, over which the paper sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import genbench
from genbench_stylegan import LossOptions


class PathLength(nn.Module):
    """The moving average of path lengths: state that is kept between steps."""

    average: Tensor

    def __init__(self, options: LossOptions) -> None:
        super().__init__()
        self.weight, self.decay, self.shrink = options.path_weight, options.path_decay, options.path_shrink
        self.register_buffer("average", torch.zeros(()))

    def penalty(
        self, generator: Callable[[Tensor], Tensor], points: Tensor, rng: torch.Generator
    ) -> genbench.Objective:
        """Return the weighted mean squared distance of the path lengths to their average, which is updated first.

        Args:
            generator: from points to images.
            points: (B, layers, w) or (B, z), with gradients; the first B / `shrink` are used.
            rng: draws the directions.
        """
        points = points[: max(1, len(points) // self.shrink)]
        lengths = path_lengths(generator(points), points, rng)
        with torch.no_grad():
            self.average.lerp_(lengths.mean(), self.decay)
        average = self.average.clone()  # the buffer changes in place
        penalty = self.weight * (lengths - average).square().mean()
        return genbench.Objective(penalty, {"path_length": lengths.detach().mean(), "path_average": average})


def path_lengths(images: Tensor, points: Tensor, rng: torch.Generator) -> Tensor:
    """Return ‖Jᵀy‖, (B,), of images (B, c, h, w) with Jacobian J at points (B, …, w), y ~ N(0, I / hw) per image.

    Over layers, the dimensions between the first and the last, it is the root of the mean square.
    """
    directions = torch.randn(images.shape, generator=rng, device=images.device) / math.sqrt(images[0, 0].numel())
    (products,) = torch.autograd.grad((images * directions).sum(), points, create_graph=True)
    layers = products[0].numel() / products.shape[-1]
    # The norm has a gradient of 0 where it is 0, where the square root has none.
    lengths: Tensor = torch.linalg.vector_norm(products.flatten(1), dim=1) / math.sqrt(layers)
    return lengths


def create(options: LossOptions) -> genbench.AdversarialLoss:
    """Return the loss; without a path-length weight it has no state."""
    path = PathLength(options) if options.path_weight else None

    def r1(
        discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, rng: torch.Generator
    ) -> Tensor:  # γ/2 E ‖∇D(x)‖² (Mescheder et al. 2018, equation 9)
        points = real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
        return options.gamma / 2 * gradient.square().sum((1, 2, 3)).mean()

    return genbench.AdversarialLoss(
        discriminator=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator=lambda fake, real: softplus(-fake).mean(),
        penalty=r1 if options.gamma else None,
        penalty_every=options.penalty_every,
        generator_penalty=path.penalty if path else None,
        generator_penalty_every=options.path_every,
        module=path,
    )
