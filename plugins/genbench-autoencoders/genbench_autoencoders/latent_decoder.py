"""What families have in common whose decoder turns latents (B, latent_dim) of N(0, I) into logits of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench


class LatentDecoder:
    """Latents and images of a model with `decoder(latents[, labels]) -> logits` of images in [0, 1]."""

    def __init__(self, setup: genbench.Setup) -> None:
        if setup.model.output != "logits" or setup.model.prior != "normal":
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' returns no logits, or has a prior other than N(0, 1).",
                f"The family {setup.model.family} needs output='logits' and prior='normal'.",
            )
        self.setup = setup
        self.decoder = setup.networks["decoder"]

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits (B, channels, height, width) of latents (B, latent_dim)."""
        logits: Tensor = self.decoder(latents, labels) if self.setup.model.conditional else self.decoder(latents)
        return logits

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents, (count, latent_dim)."""
        return self.noise((count, self.setup.latent_dim), rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded mean of each latent."""
        return self.decode(latents, labels).sigmoid()

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of `count` latents."""
        return self.generate(self.latents(count, rng), labels)

    def noise(self, shape: Sequence[int], rng: torch.Generator) -> Tensor:
        """Return noise of N(0, 1)."""
        return torch.randn(tuple(shape), generator=rng, device=self.setup.device)


def require_loss(setup: genbench.Setup, kind: type) -> None:
    """Raise TypeError if the loss is not of the family's kind."""
    if not isinstance(setup.loss, kind):
        raise TypeError(
            f"a loss of the family {setup.model.family} creates a {kind.__name__}, not {type(setup.loss).__name__}"
        )


def loss_network(loss: object) -> tuple[str, ...]:
    """Return the name of the network that holds the trained scale of a likelihood, if it has one."""
    return ("loss",) if getattr(loss, "module", None) is not None else ()
