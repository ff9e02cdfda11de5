"""The layers of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 2.2 and appendix B), in pure torch.

Equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1): weights are drawn from N(0, 1), and each
layer multiplies them by 1/√fan-in whenever it uses them, so that Adam, whose steps do not depend on the scale of the
gradient, changes all layers at the same relative speed.

A LeakyReLU of N(0, 1) values has about half their mean square, so every layer before one has a gain of √2. The paper
multiplies the activations by it; multiplying weights and biases gives the same, without a pass over the maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear

SLOPE = 0.2  # of LeakyReLU for negative values
GAIN = math.sqrt(2)  # of a layer before a LeakyReLU
EPSILON = 1e-8  # added to mean squares and squared norms that are divided by
FILTER = (1.0, 3.0, 3.0, 1.0)  # of all resampling, in both directions of the image


def activation() -> nn.LeakyReLU:
    """Return the activation after every hidden layer."""
    return nn.LeakyReLU(SLOPE, inplace=True)


class EqualLinear(nn.Linear):
    """A dense layer with equalised learning rate.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
        bias_at_start: initial value of every bias.
        rate: factor of the learning rate: parameters are stored divided by it and multiplied when used.
        gain: factor of the output.
    """

    bias: nn.Parameter

    def __init__(
        self, inputs: int, outputs: int, bias_at_start: float = 0.0, rate: float = 1.0, gain: float = 1.0
    ) -> None:
        super().__init__(inputs, outputs)
        self.scale, self.scale_of_bias = gain * rate / math.sqrt(inputs), gain * rate
        nn.init.normal_(self.weight, std=1 / rate)
        nn.init.constant_(self.bias, bias_at_start / rate)

    def forward(self, values: Tensor) -> Tensor:
        """Return (…, outputs)."""
        return linear(values, self.weight * self.scale, self.bias * self.scale_of_bias)


class EqualConv2d(nn.Conv2d):
    """A convolution with equalised learning rate that keeps the size, or halves it after smoothing the maps."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, gain: float = GAIN, bias: bool = True, halve: bool = False
    ) -> None:
        super().__init__(inputs, outputs, kernel, bias=bias)
        self.gain, self.scale = gain, gain / math.sqrt(inputs * kernel**2)
        # After smoothing, the image of a convolution without padding at every second place is centred again.
        self.smooth = Smooth(padding=kernel // 2 + 1, stride=2 if kernel == 1 else 1) if halve else nn.Identity()
        self.place = {"stride": 2 if halve and kernel > 1 else 1, "padding": 0 if halve else kernel // 2}
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, outputs, h, w), or half of h and w."""
        bias = None if self.bias is None else self.bias * self.gain
        return conv2d(self.smooth(maps), self.weight * self.scale, bias, **self.place)


class Smooth(nn.Module):
    """Filters each channel with the outer product of `FILTER` with itself, whose sum is `gain`."""

    kernel: Tensor

    def __init__(self, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.stride = padding, stride
        self.register_buffer("kernel", _kernel(gain), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the filtered maps, three rows and columns fewer than with the padding."""
        channels = maps.shape[1]
        kernel = self.kernel.expand(channels, 1, -1, -1)
        return conv2d(maps, kernel, stride=self.stride, padding=self.padding, groups=channels)


class DoubleImages(nn.Module):
    """Doubles the size of images: zeros in between, then the filter with gain 4."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel(4.0), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, c, 2h, 2w)."""
        channels = images.shape[1]
        kernel = self.kernel.expand(channels, 1, -1, -1)
        return conv_transpose2d(images, kernel, stride=2, padding=1, groups=channels)


class ModulatedConv2d(nn.Conv2d):
    """A convolution whose weights depend on the styles of each image (section 2.2).

    Input channel i of the weights is multiplied by the style s_i (equation 1). With demodulation each output's weights
    are then divided by their norm (equation 3), which keeps the variance of the maps. Both are computed on the maps,
    which is the same: s scales the inputs, and 1 / norm the outputs. So one convolution serves the whole batch.

    Args:
        inputs: channels of the maps.
        outputs: channels of the result.
        kernel: side of the kernel.
        latents: size of the intermediate latents, from which a dense layer makes the styles.
        demodulate: divide by the norms.
        gain: factor of the output, including the bias.
        double: double the size: a transposed convolution with stride 2, then smoothing.
    """

    bias: nn.Parameter

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        latents: int,
        demodulate: bool = True,
        gain: float = 1.0,
        double: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, kernel)
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.style = EqualLinear(latents, inputs, bias_at_start=1.0)
        self.demodulate, self.gain = demodulate, gain
        self.smooth = Smooth(padding=1, gain=4.0) if double else None
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, maps: Tensor, latents: Tensor) -> Tensor:  # type: ignore[override]  # one more input
        """Return (B, outputs, h, w), or twice h and w, of maps and intermediate latents (B, latents)."""
        styles = self.style(latents)
        weight = self.weight * self.scale
        maps = maps * styles[:, :, None, None].to(maps.dtype)
        if self.smooth is not None:
            maps = self.smooth(conv_transpose2d(maps, weight.transpose(0, 1), stride=2))
        else:
            maps = conv2d(maps, weight, padding=weight.shape[-1] // 2)
        bias = (self.gain * self.bias)[:, None, None].to(maps.dtype)
        if not self.demodulate:
            return maps * self.gain + bias
        with torch.autocast(maps.device.type, enabled=False):
            factors = self.gain * self.demodulation(styles.float())
        return torch.addcmul(bias, maps, factors[:, :, None, None].to(maps.dtype))

    def demodulation(self, styles: Tensor) -> Tensor:
        """Return 1 / ‖w_o‖ of the modulated weights of each output o, (B, outputs), for styles (B, inputs)."""
        squares = (self.weight * self.scale).square().sum((2, 3))  # (outputs, inputs)
        return (styles.square() @ squares.t() + EPSILON).rsqrt()


class MinibatchDeviation(nn.Module):
    """Adds a channel with the standard deviation over groups of images, averaged over channels and pixels.

    Karras et al. 2018, arXiv:1710.10196, section 3. Image number n belongs to the group of n modulo the number of
    groups; if the batch is not a multiple of the group, its largest divisor below is used.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, channels + 1, h, w)."""
        count, _, height, width = maps.shape
        group = max(size for size in range(1, min(self.group, count) + 1) if count % size == 0)
        apart = maps.float().reshape(group, count // group, -1)
        deviation = (apart.var(0, unbiased=False) + EPSILON).sqrt().mean(1)  # (groups,)
        channel = deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)
        return torch.cat([maps, channel.to(maps.dtype)], 1)


def normalised(values: Tensor) -> Tensor:
    """Return the rows divided by the root of their mean square."""
    return values * (values.square().mean(1, keepdim=True) + EPSILON).rsqrt()


def _kernel(gain: float) -> Tensor:
    row = torch.tensor(FILTER) / sum(FILTER)
    return gain * torch.outer(row, row)[None, None]
