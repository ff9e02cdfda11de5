"""The rule behind the status `collapsed`: what a generator that has lost its variety is known by."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.data.loading import LoadedData
from genbench.metrics.diversity import collapsed
from genbench.sampling.sampler import Drawn

JUDGED_FROM = 10_000  # images of training
MODES_JUDGED_FROM = 100_000  # images: what a young generator draws falls into few modes for want of likeness
COMPARED = 512  # samples, and training images, whose nearest neighbours are looked for
REPEATED_BELOW = 0.1  # of the training images' median distance to the nearest other one
MODES_BELOW = 0.05  # of the modes of the data


def signs_of_collapse(
    drawn: Drawn, data: LoadedData, images_seen: int, pictures: bool = True, modes: tuple[int, int] | None = None
) -> str:
    """Return what shows that the generator has collapsed, or an empty string.

    1. All samples are the same to the last bit.
    After 10,000 images of training (a younger generator draws grey shapes that differ little) also:
    2. The samples' pixels spread less than a tenth as far as the training images' (metric `diversity`).
    3. The samples repeat a few pictures: half of 512 samples have another one among them that is nearer than a tenth
       of the distance at which a training image has its nearest among 512. Not asked of points (`pictures` false):
       in a plane they lie as close as the levels of a byte allow.
    4. After 100,000 images, where the dataset's modes are known and were counted (`modes`: those that samples are in,
       those there are): the samples are in one mode only, or in no more than a twentieth of them.
    """
    samples = torch.as_tensor(drawn.samples.pixels)
    if drawn.identical and len(samples) > 1:
        return "all generated images are the same; see the picture of samples"
    if images_seen < JUDGED_FROM:
        return ""
    if collapsed(samples, data.train_pixels):
        return "the generated images are nearly all the same: see `diversity`, and the picture of samples"
    count = min(COMPARED, len(samples), len(data.train_pixels))
    if modes is not None and images_seen >= MODES_JUDGED_FROM:
        found, known = modes
        if 0 < found <= max(1, MODES_BELOW * known) and known > 1:
            return f"the generated images are in {found} of {known:,} modes; see `modes`, and the picture of samples"
    if not pictures or count < 16:  # too few to tell repetition from chance
        return ""
    every = len(data.train_pixels) // count
    of_samples = median_nearest_distance(samples[:count])
    of_data = median_nearest_distance(torch.as_tensor(data.train_pixels[::every][:count]))
    if of_samples < REPEATED_BELOW * of_data:
        return (
            f"the generated images repeat a few pictures: the median distance to the nearest other sample is "
            f"{of_samples / of_data:.1%} of that between training images; see the picture of samples"
        )
    return ""


def median_nearest_distance(pixels: Tensor) -> float:
    """Return the median over images of the Euclidean distance to the nearest other image, in grey levels.

    `pixels` is uint8 (N, channels, height, width), N ≥ 2.
    """
    flat = pixels.flatten(1).float()
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    return float(distances.min(dim=1).values.median())
