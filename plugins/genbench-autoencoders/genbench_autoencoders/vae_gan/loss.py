"""The terms of VAE-GAN (Larsen et al. 2016): pure functions; sums over latents or features, means over the batch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from genbench_autoencoders.vae_gan import SimilarityOptions


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """E KL(q(z|x) ‖ N(0, I)) from (B, latent_dim) each."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def feature_distance(real: Tensor, reconstructed: Tensor) -> Tensor:
    """½ E ‖f(x) - f(x̃)‖²: -log p of features (B, …) under a Gaussian of unit variance, without constants (eq. 7)."""
    return 0.5 * (real - reconstructed).square().flatten(1).sum(1).mean()


def discriminator_loss(real: Tensor, reconstructed: Tensor, sampled: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(x̃)) - E log(1 - D(x_p)), from logits (B,)."""
    return softplus(-real).mean() + softplus(reconstructed).mean() + softplus(sampled).mean()


def decoder_game(reconstructed: Tensor, sampled: Tensor) -> Tensor:
    """-E log D(x̃) - E log D(x_p), from logits (B,)."""
    return softplus(-reconstructed).mean() + softplus(-sampled).mean()


class LearnedSimilarity:
    """What the family needs to know of the loss."""

    def __init__(self, options: SimilarityOptions) -> None:
        self.gamma = options.gamma
