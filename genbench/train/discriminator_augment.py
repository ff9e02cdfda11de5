"""Differentiable augmentation of everything a discriminator sees, both real and generated images.

DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738) changes
every image. ADA (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", arXiv:2006.06676)
applies each change to an image with a probability p, and adapts p to the discriminator's confidence on real images.
Here both use the same changes, with the magnitudes of DiffAugment; from ADA only the control of p is adopted, not its
eighteen transformations. As long as p < 1 no change leaks into the generated images, because the unchanged image stays
the most frequent one (section 2.2 there).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genbench.api.recipe import Recipe
from genbench.api.training import Augmentation
from genbench.errors import UsageError
from genbench.planning.remedies import check_augment_policy

TRANSLATION = 0.125  # largest shift, as a fraction of the side
CUTOUT = 0.5  # erased fraction of the side
ADAPT_EVERY = 4  # batches between adaptations of p
SMALLEST_SIDE = 4  # pixels; smaller images cannot be shifted by an eighth of the side


class ValueRange(NamedTuple):
    """The range of the values of a model's images."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Grey, which fills shifted and erased areas."""
        return (self.low + self.high) / 2


Change = Callable[[Tensor, torch.Generator, ValueRange], Tensor]  # of each image in (B, channels, height, width)


def brightness(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Add a constant to each image, uniform within a quarter of the value range in both directions."""
    return images + (_uniform(images, rng) - 0.5) * ((values.high - values.low) / 2)


def saturation(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Scale each pixel's colours about their mean by a factor uniform in [0, 2]; grey images stay as they are."""
    if images.shape[1] == 1:
        return images
    return torch.lerp(images.mean(1, keepdim=True), images, 2 * _uniform(images, rng))


def contrast(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Scale each image about its mean by a factor uniform in [0.5, 1.5]."""
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, 0.5 + _uniform(images, rng))


def translation(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Shift each image by whole pixels, uniform up to an eighth of the side, and fill with grey."""
    sources = []  # of each pixel of the result: its row (B, 1, height, 1) and its column (B, 1, 1, width)
    inside = torch.ones((), dtype=torch.bool, device=images.device)
    for axis in (-2, -1):
        size = images.shape[axis]
        reach = int(size * TRANSLATION + 0.5)
        source = _positions(images, axis) - _integers(images, rng, -reach, reach)
        inside = inside & (source >= 0) & (source < size)
        sources.append(source.clamp(0, size - 1))
    index = sources[0] * images.shape[-1] + sources[1]
    moved = images.flatten(2).gather(2, index.flatten(2).expand(-1, images.shape[1], -1)).view(images.shape)
    return _in_layout_of(images, torch.where(inside, moved, values.middle))


def cutout(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Erase to grey a rectangle of half the sides with a uniform centre; at a border it is cut off."""
    erased = torch.ones((), dtype=torch.bool, device=images.device)
    for axis in (-2, -1):
        size = images.shape[axis]
        length = int(size * CUTOUT + 0.5)
        first = _integers(images, rng, 0, size - length % 2) - length // 2
        place = _positions(images, axis) - first
        erased = erased & (place >= 0) & (place < length)
    return torch.where(erased, values.middle, images)


def flip(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Mirror each image horizontally with probability 1/2."""
    return torch.where(_uniform(images, rng) < 0.5, images.flip(-1), images)


def rotation(images: Tensor, rng: torch.Generator, values: ValueRange) -> Tensor:
    """Rotate each image by 0, 90, 180 or 270 degrees, or by 0 or 180 if it is not square."""
    if images.shape[-2] == images.shape[-1]:
        turns = _integers(images, rng, 0, 3)
        images = torch.where(turns % 2 == 1, _in_layout_of(images, images.transpose(-2, -1)), images)
    else:
        turns = 2 * _integers(images, rng, 0, 1)
    images = torch.where((turns == 1) | (turns == 2), images.flip(-2), images)
    return torch.where((turns == 2) | (turns == 3), images.flip(-1), images)


POLICIES: Mapping[str, tuple[Change, ...]] = {
    "color": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
    "flip": (flip,),
    "rotation": (rotation,),
}


class DiffAugment(nn.Module):
    """Every change on every image."""

    def __init__(self, changes: Sequence[Change], values: ValueRange) -> None:
        super().__init__()
        self.changes, self.values = tuple(changes), values

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return changed images, in at least single precision; colours may leave the value range, as in the paper."""
        images = _in_float(images)
        for change in self.changes:
            images = change(images, rng, self.values)
        return images

    def observe(self, real_logits: Tensor) -> None:
        """Do nothing: the strength is fixed."""

    def terms(self) -> Mapping[str, Tensor]:
        """Return nothing: no strength changes."""
        return {}


class AdaptiveAugment(nn.Module):
    """Each change on each image with probability p, which rises while E[sign D(real)] is above a target, else falls.

    Its state consists of buffers only, which are not read on the host. Logits must be positive for images that the
    discriminator considers real.

    Args:
        target: target of E[sign D(real)]; 0.6 in the paper.
        step: change of p in each adaptation: images between adaptations / images in which p goes from 0 to 1.
    """

    probability: Tensor
    sign_sum: Tensor
    logits: Tensor
    batches: Tensor

    def __init__(self, changes: Sequence[Change], values: ValueRange, target: float, step: float) -> None:
        super().__init__()
        self.changes, self.values = tuple(changes), values
        self.target, self.step = target, step
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("sign_sum", torch.zeros(()))  # these three count since the last adaptation
        self.register_buffer("logits", torch.zeros(()))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return changed images, in at least single precision; colours may leave the value range, as in the paper."""
        images = _in_float(images)
        for change in self.changes:
            chosen = _uniform(images, rng) < self.probability
            images = torch.where(chosen, change(images, rng, self.values), images)
        return images

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Add a batch of the discriminator's logits of real images, of any shape; adapt p after every fourth batch."""
        self.sign_sum += real_logits.float().sign().sum()
        self.logits += real_logits.numel()
        self.batches += 1
        due = self.batches >= ADAPT_EVERY
        direction = (self.sign_sum / self.logits - self.target).sign()
        self.probability.add_(torch.where(due, direction * self.step, 0.0)).clamp_(0, 1)
        for counter in (self.sign_sum, self.logits, self.batches):
            counter.masked_fill_(due, 0)

    def terms(self) -> Mapping[str, Tensor]:
        """Return the current p."""
        return {"augment_probability": self.probability.clone()}  # a copy, because p changes in place


def make_discriminator_augment(
    recipe: Recipe, value_range: tuple[float, float], batch_size: int, device: torch.device
) -> Augmentation | None:
    """Return the augmentation that the recipe asks for, or None.

    Args:
        value_range: of the model's images.
        batch_size: number of real logits in each call of `observe`.
        device: the device of the images.

    Raises `UsageError` if `augment_policy` is empty or contains an unknown name.
    """
    if recipe.augment_discriminator == "none":
        return None
    check_augment_policy(recipe.augment_policy)
    changes = [change for name in recipe.augment_policy for change in POLICIES[name]]
    values = ValueRange(*value_range)
    if recipe.augment_discriminator == "diffaugment":
        return DiffAugment(changes, values)
    step = ADAPT_EVERY * batch_size / recipe.augment_speed
    return AdaptiveAugment(changes, values, recipe.augment_target, step).to(device)


def _in_float(images: Tensor) -> Tensor:
    """Return the images in at least single precision, so that changes of colour are not rounded away."""
    height, width = images.shape[-2:]
    if min(height, width) < SMALLEST_SIDE:
        raise UsageError(
            f"augment_discriminator needs images of at least {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels, "
            f"not {height}×{width}.",
            "Use augment_discriminator = 'none' for this dataset.",
            code="GB510",
        )
    return images.to(torch.promote_types(images.dtype, torch.float32))


def _in_layout_of(images: Tensor, result: Tensor) -> Tensor:
    """Return the result in the memory format of the images, which keeps convolutions fast."""
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return result.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def _uniform(images: Tensor, rng: torch.Generator) -> Tensor:
    """Return one random number in [0, 1) for each image, (B, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device, dtype=images.dtype)


def _integers(images: Tensor, rng: torch.Generator, low: int, high: int) -> Tensor:
    """Return one random integer from `low` to `high`, both included, for each image, (B, 1, 1, 1)."""
    return torch.randint(low, high + 1, (len(images), 1, 1, 1), generator=rng, device=images.device)


def _positions(images: Tensor, axis: int) -> Tensor:
    """Return the pixel positions along an axis, in a shape that broadcasts against the images."""
    shape = [1] * images.ndim
    shape[axis] = -1
    return torch.arange(images.shape[axis], device=images.device).view(shape)
