"""The thresholds beyond which images are reported; reports state them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """One field per rule. Levels are those of 8-bit pixels, 0 to 255."""

    similarity: float = 0.98  # near duplicates: minimum correlation of the gradients of two thumbnails
    near_side: int = 8  # near duplicates: minimum shorter side, in pixels, of images that are compared
    blank: float = 1.0  # levels: maximum standard deviation of a blank image
    z: float = 5.0  # modified z-score beyond which brightness or contrast is an outlier
    elongated: float = 2.0  # longer side / shorter: from here on, the centred square keeps at most half of an image
    odd_size: float = 4.0  # shorter side / its median, or the inverse, beyond which a size is an outlier
    imbalance: float = 3.0  # largest class / smallest, in training images
    few_in_class: int = 10  # training images: a class with fewer can hardly be learned
    few: int = 100  # training images: with fewer, any model memorises them
    small: int = 5_000  # training images: with fewer, an unregularised discriminator memorises them
    brightness_explained: float = 0.25  # fraction of the variance of brightness between classes
