"""The numbers by which images are called suspect, in one place; reports state them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """One field per rule. Levels are those of 8-bit pixels, 0 to 255."""

    similarity: float = 0.98  # near duplicates: correlation of the gradients of two thumbnails, at least
    near_side: int = 8  # pixels of the shorter side from which near duplicates are looked for
    blank: float = 1.0  # levels: an image whose standard deviation is no larger is blank
    z: float = 5.0  # modified z-score beyond which brightness or contrast is an outlier
    elongated: float = 2.0  # longer side by shorter: from here the centred square keeps at most half of an image
    odd_size: float = 4.0  # shorter side by its median, or the inverse, beyond which a size is an outlier
    imbalance: float = 3.0  # largest class by smallest, in training images
    few_in_class: int = 10  # training images: a class with less can hardly be learned
    few: int = 100  # training images: below it any model memorises
    small: int = 5_000  # training images: below it a discriminator memorises unless it is regularised
    brightness_explained: float = 0.25  # share of the variance of brightness that lies between classes
