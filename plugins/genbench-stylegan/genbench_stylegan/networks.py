"""The networks of StyleGAN2: a skip generator and a residual discriminator (Karras et al. 2020, configuration F).

    mapping        z normalised, then M dense layers with LeakyReLU, at a hundredth of the learning rate: w
                   with classes: the normalised embedding of the class next to z
    generator      learnt maps of the smallest size, a layer, an image; then for each further size
                   a layer that doubles the size, a layer, an image; added to the image before, doubled; at the end tanh
      layer        modulated, demodulated Conv k3; + strength · noise; + bias; LeakyReLU
      image        modulated Conv k1 without demodulation; + bias
    discriminator  Conv k1 from the image, LeakyReLU; for each size but the smallest a block; standard deviation over
                   the batch; Conv k3, LeakyReLU; Linear, LeakyReLU; Linear: the logit
      block        Conv k3, LeakyReLU, Conv k3 that halves, LeakyReLU; + Conv k1 that halves, without bias; / √2
                   with classes: as many outputs of the last layer as of the one before; the logit is their product with
                   the mapped embedding of the class, divided by the root of their number

All convolutions and dense layers have an equalised learning rate. For n sizes there are 2n intermediate latents: one
for each layer, and one for the last image; an image uses that of the next layer.

    size  channels, width w = 16, at most 64          parameters, c = 3, z = 64 (generator, discriminator)
     28   64 × 7²   32 × 14²  16 × 28²                  104,190  275,665
     32   64 × 4²   64 ×  8²  32 × 16²  16 × 32²        188,611  218,449
     64   64 × 4²   64 ×  8²  64 × 16²  32 × 32²  16 × 64²  275,144  296,401
    128   64 × 4²   64 ×  8²  64 × 16²  64 × 32²  32 × 64²  16 × 128²  361,677  374,353

Configuration F is w = 32, at most 512 channels, 512 latents, M = 8 and 1024 pixels: 30,370,060 and 29,012,513. The
authors' generator does not end in tanh; here images must lie in a declared range.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

import genbench
from genbench_stylegan import StyleGAN2Options
from genbench_stylegan.layers import (
    GAIN,
    DoubleImages,
    EqualConv2d,
    EqualLinear,
    MinibatchDeviation,
    ModulatedConv2d,
    activation,
    normalised,
)

MAPPING_RATE = 0.01  # of the learning rate


class Classes(EqualLinear):
    """The normalised embedding of labels."""

    def forward(self, labels: Tensor) -> Tensor:
        """Return (B, outputs) for labels (B,)."""
        one_hot = labels[:, None] == torch.arange(self.in_features, device=labels.device)
        return normalised(super().forward(one_hot.to(self.weight.dtype)))


class Mapping(nn.Sequential):
    """Dense layers with a small learning rate, from (B, inputs) to (B, size)."""

    def __init__(self, inputs: int, size: int, layers: int) -> None:
        parts: list[nn.Module] = []
        for number in range(layers):
            parts += [EqualLinear(size if number else inputs, size, rate=MAPPING_RATE, gain=GAIN), activation()]
        super().__init__(*parts)


class SynthesisLayer(nn.Module):
    """A modulated convolution with noise, from maps (B, inputs, s, s); `double` makes it (B, outputs, 2s, 2s)."""

    def __init__(self, inputs: int, outputs: int, latents: int, noise: bool, double: bool = False) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(inputs, outputs, 3, latents, gain=GAIN, double=double)
        self.strength = nn.Parameter(torch.zeros(())) if noise else None
        self.activation = activation()

    def forward(self, maps: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
        """Return the maps, for intermediate latents (B, latents) and noise (B, 1, s, s)."""
        maps = self.convolution(maps, latents)
        if self.strength is not None:
            maps = maps + (GAIN * self.strength * noise).to(maps.dtype)
        return self.activation(maps)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """Latents (B, z), and labels (B,) if there are classes, to images (B, c, size, size) in [-1, 1].

    It is a `genbench.NoisyGenerator` and a `genbench.MappedGenerator`. In training mode some images have the styles of
    two latents, one before and one after a random layer (style mixing: Karras et al. 2019, arXiv:1812.04948, section
    3.1). The second latents and both decisions are made from the first `z + 2` values of the noise, so that equal
    inputs give equal images.
    """

    fixed_noise: Tensor

    def __init__(
        self, image_shape: genbench.Shape, latent_dim: int, options: StyleGAN2Options, classes: int = 0
    ) -> None:
        super().__init__()
        channels, size, _ = image_shape
        side, widths = stages(size, options)
        self.latent_dim, self.mixing = latent_dim, options.mixing
        self.classes = Classes(classes, latent_dim) if classes else None
        self.mapping = Mapping(2 * latent_dim if classes else latent_dim, latent_dim, options.mapping_layers)
        self.start = nn.Parameter(torch.randn(1, widths[0], side, side))
        layers = [SynthesisLayer(widths[0], widths[0], latent_dim, options.noise)]
        for inputs, outputs in pairwise(widths):
            layers.append(SynthesisLayer(inputs, outputs, latent_dim, options.noise, double=True))
            layers.append(SynthesisLayer(outputs, outputs, latent_dim, options.noise))
        self.layers = nn.ModuleList(layers)
        self.to_image = nn.ModuleList(
            ModulatedConv2d(width, channels, 1, latent_dim, demodulate=False) for width in widths
        )
        self.enlarge = DoubleImages()
        self.sides = [side * 2 ** ((number + 1) // 2) for number in range(len(layers))]
        self.register_buffer("fixed_noise", torch.randn(sum(side**2 for side in self.sides)))
        self.noise_dim = latent_dim + 2 + len(self.fixed_noise)

    def forward(self, latents: Tensor, labels: Tensor | None = None, *, noise: Tensor | None = None) -> Tensor:
        """Return the images."""
        return self.synthesise(self.intermediate(latents, labels, noise=noise), noise=noise)

    def intermediate(self, latents: Tensor, labels: Tensor | None = None, *, noise: Tensor | None = None) -> Tensor:
        """Return the intermediate latents of all layers, (B, 2n, z)."""
        count = len(self.layers) + 1
        mapped = self._map(latents, labels)[:, None].expand(-1, count, -1)
        if not self.training or noise is None or not self.mixing:
            return mapped
        others = self._map(noise[:, : self.latent_dim], labels)[:, None]
        mixed, place = torch.special.ndtr(noise[:, self.latent_dim : self.latent_dim + 2]).t()  # uniform in [0, 1]
        first = 1 + (place * (count - 1)).floor()  # the first layer with the others: 1, …, 2n - 1
        first = torch.where(mixed < self.mixing, first, count)
        replaced = torch.arange(count, device=latents.device) >= first[:, None]
        return torch.where(replaced[:, :, None], others, mapped)

    def synthesise(self, intermediate: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the images of intermediate latents."""
        count = len(intermediate)
        values = self.fixed_noise.expand(count, -1) if noise is None else noise[:, self.latent_dim + 2 :]
        maps_of_noise = torch.split(values, [side**2 for side in self.sides], 1)
        latents = intermediate.unbind(1)
        maps = self.start.expand(count, -1, -1, -1)
        image: Tensor | None = None
        for number, (layer, side, flat) in enumerate(zip(self.layers, self.sides, maps_of_noise, strict=True)):
            maps = layer(maps, latents[number], flat.reshape(count, 1, side, side))
            if number % 2 == 0:  # the last layer of its size
                added = self.to_image[number // 2](maps, latents[number + 1]).float()
                image = added if image is None else self.enlarge(image) + added
        assert image is not None
        return image.tanh()

    def _map(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        values = normalised(latents)
        if self.classes is not None:
            assert labels is not None
            values = torch.cat([values, self.classes(labels)], 1)
        return self.mapping(values)  # type: ignore[no-any-return]


class Block(nn.Module):
    """A residual block, from maps (B, inputs, s, s) to (B, outputs, s/2, s/2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            EqualConv2d(inputs, inputs, 3),
            activation(),
            EqualConv2d(inputs, outputs, 3, gain=1.0, halve=True),  # √2 before the activation, and the √½ of the sum
            activation(),
        )
        self.skip = EqualConv2d(inputs, outputs, 1, gain=math.sqrt(0.5), bias=False, halve=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sum of both paths, with the variance of one."""
        return self.residual(maps) + self.skip(maps)  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    """Images (B, c, size, size), and labels (B,) if there are classes, to logits (B,)."""

    def __init__(self, image_shape: genbench.Shape, options: StyleGAN2Options, classes: int = 0) -> None:
        super().__init__()
        channels, size, _ = image_shape
        side, widths = stages(size, options)
        deepest = widths[0]
        self.classes = None
        if classes:
            self.classes = nn.Sequential(Classes(classes, deepest), Mapping(deepest, deepest, options.mapping_layers))
        self.body = nn.Sequential(
            EqualConv2d(channels, widths[-1], 1),
            activation(),
            *(Block(inputs, outputs) for inputs, outputs in pairwise(reversed(widths))),
            MinibatchDeviation(options.group),
            EqualConv2d(deepest + 1, deepest, 3),
            activation(),
            nn.Flatten(),
            EqualLinear(deepest * side**2, deepest, gain=GAIN),
            activation(),
        )
        self.last = EqualLinear(deepest, deepest if classes else 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the logits."""
        if self.classes is None:
            return self.last(self.body(images)).flatten()  # type: ignore[no-any-return]
        wanted = self.classes(labels)
        return (self.last(self.body(images)) * wanted).sum(1) / math.sqrt(wanted.shape[1])  # type: ignore[no-any-return]


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: StyleGAN2Options
) -> dict[str, nn.Module]:
    """Return generator and discriminator without classes."""
    return {
        "generator": Generator(image_shape, latent_dim, options),
        "discriminator": Discriminator(image_shape, options),
    }


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: StyleGAN2Options
) -> dict[str, nn.Module]:
    """Return generator and discriminator that receive labels."""
    if num_classes < 1:
        raise genbench.SpecError("The data have no classes.", "Choose data with labels, or the model stylegan2.")
    return {
        "generator": Generator(image_shape, latent_dim, options, num_classes),
        "discriminator": Discriminator(image_shape, options, num_classes),
    }


def stages(size: int, options: StyleGAN2Options) -> tuple[int, list[int]]:
    """Return the side of the smallest maps, and the channels of all sizes from the smallest to the largest."""
    side = 7 if size == 28 else 4
    doublings = (size // side).bit_length() - 1
    return side, [min(options.width * 2**number, options.max_width) for number in reversed(range(doublings + 1))]
