"""The family `flow`: an invertible network maps images to Gaussian noise, trained by maximum likelihood.

A model's network is `flow(images) -> (noise, log_det)`, both directions of which preserve the shape (B, channels,
height, width), with log_det (B,); `flow.inverse(noise) -> images`. Conditional networks take labels (B,) as a last
argument. The network sees logits of pixel values rather than values in [0, 1] (Dinh et al. 2017, section 4.1). The
latents are the noise.

A level k of 256 becomes y = (k + u) / 256 with u ~ U(0, 1). Then log P(k) ≥ E_u[log p(y)] - D log 256 (Theis et al.
2016, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

import genbench
from genbench_flows import FlowOptions

LEVELS = 256


class FlowNLL:
    """The loss: how pixel values become logits."""

    def __init__(self, options: FlowOptions) -> None:
        self.alpha = options.alpha

    def to_logits(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return logit(α + (1 - 2α) y) of values y in [0, 1], and the log determinant of this map, (B,)."""
        logits = (self.alpha + (1 - 2 * self.alpha) * values).logit()
        log_slopes = math.log(1 - 2 * self.alpha) - logsigmoid(logits) - logsigmoid(-logits)
        return logits, log_slopes.flatten(1).sum(1)

    def from_logits(self, logits: Tensor) -> Tensor:
        """Return the values y, slightly outside [0, 1] for extreme logits."""
        return (logits.sigmoid() - self.alpha) / (1 - 2 * self.alpha)


class Flow:
    """One player: the invertible network."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, FlowNLL):
            raise TypeError(f"a loss of the family flow creates a FlowNLL, not {type(setup.loss).__name__}")
        if setup.model.value_range != (0.0, 1.0):
            raise genbench.GenbenchError(
                f"The value range of model '{setup.model.name}' is not (0, 1).",
                "The family flow needs value_range=(0, 1).",
            )
        self.setup = setup
        self.loss: FlowNLL = setup.loss
        self.flow = setup.networks["flow"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("flow", ("flow",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return the mean negative log-likelihood in bits per pixel and channel."""
        nats = -self.log_likelihood(batch.images, batch.rng, batch.labels).mean()
        return genbench.Objective(nats / (batch.images[0].numel() * math.log(2)), {})

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The density of images with uniform noise."""
        return genbench.Likelihood("flow", "dequantised")

    def log_likelihood(self, images: Tensor, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return log p(y) - D log 256 of images (B, …) with new noise, (B,)."""
        noise = torch.rand(images.shape, generator=rng, device=images.device)
        values = (images * (LEVELS - 1) + noise) / LEVELS
        logits, log_slopes = self.loss.to_logits(values)
        found, log_det = self.flow(logits, *self._given(labels))
        log_density = -0.5 * (found.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        total: Tensor = log_density + log_det + log_slopes - images[0].numel() * math.log(LEVELS)
        return total

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return noise in the shape of the images."""
        return torch.randn((count, *self.setup.image_shape), generator=rng, device=self.setup.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the images of this noise, at one of 256 levels."""
        logits: Tensor = self.flow.inverse(latents, *self._given(labels))  # type: ignore[operator]
        values = self.loss.from_logits(logits)
        return (values * LEVELS).floor().clamp(0, LEVELS - 1) / (LEVELS - 1)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, each from its own noise."""
        return self.generate(self.latents(count, rng), labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: an invertible network reproduces every image, so there is nothing to measure."""
        raise NotImplementedError("flows do not reconstruct")

    def _given(self, labels: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the further arguments of the network."""
        return (labels,) if self.setup.model.conditional else ()
