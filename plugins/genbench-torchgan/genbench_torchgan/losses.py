"""torchgan's losses on logits as genbench losses.

torchgan's own loss objects also draw fakes, step an optimiser and read the loss on the host; only their formulas are
used here. genbench clips the critic's weights after each update, as the paper does; torchgan clips
them before the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchgan.losses import functional

import genbench

if TYPE_CHECKING:
    from genbench_torchgan import LeastSquaresOptions, MinimaxOptions, WassersteinOptions


def create_minimax(options: MinimaxOptions) -> genbench.AdversarialLoss:
    """Return `torchgan-minimax`."""
    return genbench.AdversarialLoss(
        discriminator=lambda real, fake: functional.minimax_discriminator_loss(real, fake, options.label_smoothing),
        generator=lambda fake, _real: functional.minimax_generator_loss(fake, options.nonsaturating),
    )


def create_least_squares(options: LeastSquaresOptions) -> genbench.AdversarialLoss:
    """Return `torchgan-least-squares`."""
    return genbench.AdversarialLoss(
        discriminator=lambda real, fake: functional.least_squares_discriminator_loss(real, fake, options.a, options.b),
        generator=lambda fake, _real: functional.least_squares_generator_loss(fake, options.c),
        boundary=(options.a + options.b) / 2,
    )


def create_wasserstein(options: WassersteinOptions) -> genbench.AdversarialLoss:
    """Return `torchgan-wasserstein`."""
    return genbench.AdversarialLoss(
        discriminator=functional.wasserstein_discriminator_loss,
        generator=lambda fake, _real: functional.wasserstein_generator_loss(fake),
        boundary=None,
        clip_weights=options.clip,
    )
