"""Glow (Kingma & Dhariwal 2018, arXiv:1807.03039) for square and other images with even sides.

Images of c × h × w pass L levels, or as many as the sides can be halved; at each

    squeeze                                               4c × h/2 × w/2
    K steps of  normalisation, invertible 1 × 1 convolution, affine coupling
    split: one half is compared with its prior, the other is the input of the next level; not at the last level

    normalisation y = s x + b, per channel; the first training batch sets y to mean 0, variance 1  (section 3.1)
    convolution   W = P L (U + diag(±exp(log s))), log |det| = h w Σ log s                         (equation 10)
    coupling      y₁ = x₁, y₂ = (x₂ + t) s, (t, log s) from x₁: Conv k3, norm, ReLU, Conv k1, norm, ReLU, Conv k3,
                  where "norm" is the normalisation above and the last convolution starts at zero

The prior of each half is N(μ, σ²), with μ and log σ a convolution, zero at first, of the half that is kept; that of the
last level is the same at all positions. The network returns (half - μ) / σ, whose prior is N(0, 1), in the place in the
image that the squeezes took it from. Conditional models add an embedding of the label to μ and log σ of every level;
the paper's add it at the last level alone, and also predict the class from the latents.

log s lies in (-2, 2) and log σ in (-4, 4), by a tanh. The authors' code has s = sigmoid(r + 2), which is unbounded from
below: images of noise that is a little off then grew beyond the range of fp32 within 90 steps of training, with
s itself falling exponentially.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle

import genbench
from genbench_flows import GlowOptions

_LEAST = 1e-12  # variance of a channel that is constant in the first batch
_SPEED = 3.0  # ratio of the speed of the log scale of a convolution that starts at zero to that of a weight
_LARGEST_SCALE = 2.0  # |log s| of a coupling
_LARGEST_DEVIATION = 4.0  # |log σ| of a prior
_LABEL_WEIGHT = 0.05  # standard deviation of the initial embeddings, so that labels matter from the beginning


class ActNorm(nn.Module):
    """A scale and a shift of each channel, after which the first training batch has mean 0 and variance 1.

    The statistics of that batch are buffers, and the parameters start at 0: y = (x - mean) / deviation · exp(log_scale)
    + shift. So nothing is read on the host, and averages of weights and checkpoints need no special case.
    """

    mean: Tensor
    log_deviation: Tensor
    initialised: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("log_deviation", torch.zeros(channels, 1, 1))
        self.register_buffer("initialised", torch.zeros(()))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normalised images and log |det| / (h w), a scalar."""
        if self.training:
            self._keep(self.mean, lambda: images.mean((0, 2, 3)))
        centred = images - self.mean
        if self.training:
            self._keep(self.log_deviation, lambda: centred.square().mean((0, 2, 3)).clamp_min(_LEAST).log() / 2)
            self.initialised.fill_(1)
        log_scale = self.log_scale - self.log_deviation
        return centred * log_scale.exp() + self.shift, log_scale.sum()

    def inverse(self, images: Tensor) -> Tensor:
        """Return what `forward` maps to these images."""
        return (images - self.shift) * (self.log_deviation - self.log_scale).exp() + self.mean

    @torch.no_grad()
    def _keep(self, statistic: Tensor, of_batch: Callable[[], Tensor]) -> None:
        """Store a statistic of the first batch, one number per channel; later batches change nothing."""
        found = of_batch()[:, None, None].to(statistic.dtype)
        statistic.copy_(torch.where(self.initialised == 0, found, statistic))


class InvertibleConv(nn.Module):
    """A 1 × 1 convolution whose matrix, a random rotation at first, is kept as its LU decomposition.

    One parameter of c × c values: L below the diagonal, U above it, and log s on it.
    """

    permutation: Tensor
    signs: Tensor
    identity: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.factors = nn.Parameter((lower.tril(-1) + upper.triu(1) + diagonal.abs().log().diag()).float())
        self.register_buffer("permutation", permutation.float())
        self.register_buffer("signs", diagonal.sign().float())
        self.register_buffer("identity", torch.eye(channels), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed images and log |det| / (h w), a scalar."""
        lower, upper = self._triangles()
        return _mix(images, self.permutation @ lower @ upper), self.factors.diagonal().sum()

    def inverse(self, images: Tensor) -> Tensor:
        """Return what `forward` maps to these images."""
        lower, upper = self._triangles()
        inverse = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
        return _mix(images, torch.linalg.solve_triangular(upper, inverse, upper=True))

    def _triangles(self) -> tuple[Tensor, Tensor]:
        lower = self.factors.tril(-1) + torch.eye(
            len(self.factors), device=self.factors.device, dtype=self.factors.dtype
        )
        return lower, self.factors.triu(1) + (self.signs * self.factors.diagonal().exp()).diag()


def _mix(images: Tensor, matrix: Tensor) -> Tensor:
    """Return matrix · channels at each position."""
    return conv2d(images, matrix[:, :, None, None])


class ZeroConv(nn.Conv2d):
    """A convolution that starts at zero; a log scale of each output learns three times as fast as a weight."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, 1, 1)
        nn.init.zeros_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        self.log_scale = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the scaled outputs in fp32."""
        return super().forward(images).float() * (_SPEED * self.log_scale).exp()


class AffineCoupling(nn.Module):
    """An affine map of half of the channels, which depends on the other half."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels // 2, width, 3, 1, 1, bias=False)
        self.first_norm = ActNorm(width)
        self.second = nn.Conv2d(width, width, 1, bias=False)
        self.second_norm = ActNorm(width)
        self.last = ZeroConv(width, channels)
        for convolution in (self.first, self.second):
            nn.init.normal_(convolution.weight, std=0.05)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changed images and log |det|, (B,)."""
        kept, changed = images.chunk(2, 1)
        shift, log_scale = self._coefficients(kept)
        changed = (changed + shift) * log_scale.exp()
        return torch.cat([kept, changed], 1), log_scale.flatten(1).sum(1)

    def inverse(self, images: Tensor) -> Tensor:
        """Return what `forward` maps to these images."""
        kept, changed = images.chunk(2, 1)
        shift, log_scale = self._coefficients(kept)
        return torch.cat([kept, changed * (-log_scale).exp() - shift], 1)

    def _coefficients(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.first_norm(self.first(kept))[0].relu()
        hidden = self.second_norm(self.second(hidden))[0].relu()
        shift, log_scale = self.last(hidden).chunk(2, 1)
        return shift, _bounded(log_scale, _LARGEST_SCALE)


class Step(nn.Module):
    """One step of the flow: normalisation, 1 × 1 convolution, coupling."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.mix = InvertibleConv(channels)
        self.coupling = AffineCoupling(channels, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changed images and log |det|, (B,)."""
        positions = images.shape[2] * images.shape[3]
        with torch.autocast(images.device.type, enabled=False):  # the path of the images needs fp32
            images, scales = self.norm(images)
            images, mixing = self.mix(images)
        images, coupling = self.coupling(images)
        return images, coupling + positions * (scales + mixing)

    def inverse(self, images: Tensor) -> Tensor:
        """Return what `forward` maps to these images."""
        return self.norm.inverse(self.mix.inverse(self.coupling.inverse(images)))


class Prior(nn.Module):
    """N(μ, σ²) of some channels, given others, if there are any, and the label, if the model is conditional."""

    def __init__(self, channels: int, given: int, num_classes: int) -> None:
        super().__init__()
        self.of_images = ZeroConv(given, 2 * channels) if given else None
        self.constant = None if given else nn.Parameter(torch.zeros(2 * channels, 1, 1))
        self.of_labels = nn.Embedding(num_classes, 2 * channels) if num_classes else None
        if self.of_labels is not None:
            nn.init.normal_(self.of_labels.weight, std=_LABEL_WEIGHT)

    def forward(self, images: Tensor, given: Tensor | None, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (images - μ) / σ and log |det|, (B,)."""
        mean, log_deviation = self._moments(given, labels)
        noise = (images - mean) * (-log_deviation).exp()
        return noise, -log_deviation.expand(noise.shape).flatten(1).sum(1)

    def inverse(self, noise: Tensor, given: Tensor | None, labels: Tensor | None) -> Tensor:
        """Return μ + σ · noise."""
        mean, log_deviation = self._moments(given, labels)
        return mean + log_deviation.exp() * noise

    def _moments(self, given: Tensor | None, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        moments = self.constant if self.of_images is None else self.of_images(given)
        assert moments is not None
        if moments.ndim == 3:
            moments = moments[None]
        if self.of_labels is not None:
            moments = moments + self.of_labels(labels)[:, :, None, None]
        mean, log_deviation = moments.chunk(2, 1)
        return mean, _bounded(log_deviation, _LARGEST_DEVIATION)


class Level(nn.Module):
    """Squeeze, K steps, and the split whose kept half goes on to the next level."""

    def __init__(self, channels: int, levels: int, options: GlowOptions, num_classes: int) -> None:
        super().__init__()
        squeezed = 4 * channels
        self.steps = nn.ModuleList(Step(squeezed, options.width) for _ in range(options.steps))
        kept = 2 * channels if levels > 1 else 0
        self.prior = Prior(squeezed - kept, kept, num_classes)
        self.following = Level(kept, levels - 1, options, num_classes) if kept else None

    def forward(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return noise in the shape of the images, and log |det|, (B,)."""
        images = pixel_unshuffle(images, 2)
        log_det = images.new_zeros(len(images))
        for step in self.steps:
            images, change = step(images)
            log_det = log_det + change
        if self.following is None:
            noise, change = self.prior(images, None, labels)
            return pixel_shuffle(noise, 2), log_det + change
        kept, left = images.chunk(2, 1)
        noise, change = self.prior(left, kept, labels)
        others, further = self.following(kept, labels)
        return pixel_shuffle(torch.cat([others, noise], 1), 2), log_det + change + further

    def inverse(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """Return the images that are mapped to this noise."""
        noise = pixel_unshuffle(noise, 2)
        if self.following is None:
            images = self.prior.inverse(noise, None, labels)
        else:
            others, own = noise.chunk(2, 1)
            kept = self.following.inverse(others, labels)
            images = torch.cat([kept, self.prior.inverse(own, kept, labels)], 1)
        for step in reversed(self.steps):
            images = step.inverse(images)  # type: ignore[operator]  # of Step
        return pixel_shuffle(images, 2)


class Glow(nn.Module):
    """An invertible network: forward from images (B, c, h, w) to noise of the same shape, inverse the other way."""

    def __init__(self, image_shape: genbench.Shape, num_classes: int, options: GlowOptions) -> None:
        super().__init__()
        channels, height, width = image_shape
        halvings = min(_halvings(height), _halvings(width), options.levels)
        self.first = Level(channels, halvings, options, num_classes)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return noise in the shape of the images, and log |det ∂noise/∂images|, (B,)."""
        noise, log_det = self.first(images, labels)
        return noise, log_det

    def inverse(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the images that are mapped to this noise."""
        return self.first.inverse(noise, labels)


def _bounded(values: Tensor, largest: float) -> Tensor:
    """Return nearly the same values for small ones, and never more than the largest."""
    return largest * (values / largest).tanh()


def _halvings(side: int) -> int:
    """Return how often a side can be halved."""
    return (side & -side).bit_length() - 1


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: GlowOptions
) -> Mapping[str, nn.Module]:
    """Return the network; `latent_dim` is the number of values of an image."""
    return {"flow": Glow(image_shape, 0, options)}


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: GlowOptions
) -> Mapping[str, nn.Module]:
    """Return the network of the conditional model; raise `GenbenchError` without classes."""
    if num_classes < 1:
        raise genbench.GenbenchError(
            "Model 'cglow' is conditional: it needs a labelled dataset, but this one has no classes.",
            "Choose a dataset with labels, or the model 'glow'.",
        )
    return {"flow": Glow(image_shape, num_classes, options)}
