"""A mixture of discretised logistic distributions, in which each channel depends on those before it.

Salimans et al. 2017 (PixelCNN++, arXiv:1701.05517), section 2.1 and 2.2. For K distributions over c channels a pixel
has K logits, K·c means, K·c log scales, and K·c(c-1)/2 coefficients: the mean of channel i is μ_i + Σ_{j<i} tanh(a_ij)
x_j. Values x lie in [-1, 1], levels 2/255 apart. The probability of a level is the mass between the midpoints beside
it; the lowest level extends to -∞ and the highest to ∞, so that the probabilities of all levels of a pixel sum to 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, softmax

HIGHEST = 255  # level
_HALF = 1 / HIGHEST  # of the distance of two levels, in values x
_LEAST_LOG_SCALE = -7.0  # about a tenth of a level


class Mixture(NamedTuple):
    """The parts of a network's output."""

    logits: Tensor  # (B, K, h, w)
    means: Tensor  # (B, K, c, h, w)
    log_scales: Tensor  # (B, K, c, h, w)
    coefficients: Tensor  # (B, K, c(c-1)/2, h, w), in (-1, 1): of channels 1 for 0, 2 for 0, 2 for 1, …


def outputs(mixtures: int, channels: int) -> int:
    """Return the number of outputs of a network for each pixel."""
    return mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)


def split(parameters: Tensor, channels: int) -> Mixture:
    """Divide a network's output (B, outputs, h, w)."""
    parts = [1, channels, channels, channels * (channels - 1) // 2]
    parameters = parameters.float().unflatten(1, (-1, sum(parts)))
    logits, means, log_scales, coefficients = parameters.split(parts, 2)
    return Mixture(logits[:, :, 0], means, log_scales.clamp_min(_LEAST_LOG_SCALE), coefficients.tanh())


def log_probability(mixture: Mixture, levels: Tensor) -> Tensor:
    """Return log P of the levels (B, c, h, w), summed over channels and pixels, (B,).

    The mass between b < a is F(a) F(-b) (1 - exp(b - a)) with F the sigmoid, which loses no digits.
    """
    values = levels / (HIGHEST / 2) - 1
    centred = values[:, None] - _means(mixture, values)
    precision = (-mixture.log_scales).exp()
    top, bottom = (levels == HIGHEST)[:, None], (levels == 0)[:, None]
    zero = torch.zeros((), device=levels.device)
    below = torch.where(top, zero, logsigmoid((centred + _HALF) * precision))
    above = torch.where(bottom, zero, logsigmoid(-(centred - _HALF) * precision))
    width = torch.where(top | bottom, zero, torch.log(-torch.expm1(-2 * _HALF * precision)))
    of_parts = (below + above + width).sum(2) + log_softmax(mixture.logits, 1)
    return of_parts.logsumexp(1).flatten(1).sum(1)


def draw(mixture: Mixture, rng: torch.Generator) -> Tensor:
    """Return levels of one pixel, (B, c, 1, 1), of a mixture with h = w = 1."""
    weights = softmax(mixture.logits[:, :, 0, 0], 1)
    chosen = _draw_index(weights, rng)[:, None, None]
    means, log_scales, coefficients = (_choose(part, chosen) for part in mixture[1:])
    uniform = torch.rand(means.shape, generator=rng, device=means.device).clamp(1e-5, 1 - 1e-5)
    noise = log_scales.exp() * uniform.logit()
    values: list[Tensor] = []
    for channel in range(means.shape[1]):
        mean = means[:, channel]
        for other, value in enumerate(values):
            mean = mean + coefficients[:, _place(channel, other)] * value
        levels = ((mean + noise[:, channel] + 1) * (HIGHEST / 2)).round().clamp(0, HIGHEST)
        values.append(levels / (HIGHEST / 2) - 1)
    return ((torch.stack(values, 1) + 1) * (HIGHEST / 2)).round()[:, :, None, None]


def _means(mixture: Mixture, values: Tensor) -> Tensor:
    """Return the means given the values of earlier channels, (B, K, c, h, w)."""
    columns = list(mixture.means.unbind(2))
    for channel in range(len(columns)):
        for other in range(channel):
            share = mixture.coefficients[:, :, _place(channel, other)]
            columns[channel] = columns[channel] + share * values[:, None, other]
    return torch.stack(columns, 2)


def _place(channel: int, other: int) -> int:
    """Return where the coefficient of a channel for an earlier one is."""
    return math.comb(channel, 2) + other


def _choose(part: Tensor, chosen: Tensor) -> Tensor:
    """Return the entries (B, n) of the chosen distribution of (B, K, n, 1, 1)."""
    return part[..., 0, 0].gather(1, chosen.expand(-1, 1, part.shape[2]))[:, 0]


def _draw_index(weights: Tensor, rng: torch.Generator) -> Tensor:
    """Return an index for each row of probabilities (B, K), (B,)."""
    return torch.multinomial(weights, 1, generator=rng)[:, 0]
