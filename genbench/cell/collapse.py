"""The rule behind the status `collapsed`, the signs that a generator has lost its variety, and posterior collapse."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.data.loading import LoadedData
from genbench.metrics.active_units import active_units
from genbench.metrics.diversity import collapsed
from genbench.sampling.sampler import Drawn

JUDGED_FROM = 10_000  # images of training
MODES_JUDGED_FROM = 100_000  # images: before that, few samples resemble any mode
COMPARED = 512  # samples, and training images, whose nearest neighbours are compared
REPEATED_BELOW = 0.1  # of the training images' median distance to their nearest neighbour
MODES_BELOW = 0.05  # of the modes of the data


def signs_of_collapse(
    drawn: Drawn, data: LoadedData, images_seen: int, pictures: bool = True, modes: tuple[int, int] | None = None
) -> str:
    """Return the sign that the generator has collapsed, or an empty string.

    1. All samples are bitwise identical.
    After 10,000 training images (before that, generators often draw grey shapes that differ little) also:
    2. The pixel variance of the samples is below a tenth of that of the training images (metric `diversity`).
    3. The samples repeat a few images: for half of 512 samples the nearest other sample is closer than a tenth of the
       median distance between nearest neighbours among 512 training images. This does not apply to points (`pictures`
       is false), which may lie as close together as the levels of a byte allow.
    4. After 100,000 images, if the modes of the dataset are known and were counted (`modes`: the number that contain
       samples, and their total): the samples are in at most one mode, or in at most a twentieth of the modes.
    """
    samples = torch.as_tensor(drawn.samples.pixels)
    if drawn.identical and len(samples) > 1:
        return "all generated images are identical; see the sample grid"
    if images_seen < JUDGED_FROM:
        return ""
    if collapsed(samples, data.train_pixels):
        return "the generated images are almost identical: see `diversity` and the sample grid"
    count = min(COMPARED, len(samples), len(data.train_pixels))
    if modes is not None and images_seen >= MODES_JUDGED_FROM:
        found, known = modes
        if found <= max(1, MODES_BELOW * known) and known > 1:
            return f"the generated images are in {found or 'none'} of {known:,} modes; see `modes` and the sample grid"
    if not pictures or count < 16:  # too few to distinguish repetition from chance
        return ""
    every = len(data.train_pixels) // count
    of_samples = median_nearest_distance(samples[:count])
    of_data = median_nearest_distance(torch.as_tensor(data.train_pixels[::every][:count]))
    if of_samples < REPEATED_BELOW * of_data:
        return (
            f"the generated images repeat a few images: the median distance to the nearest other sample is "
            f"{of_samples / of_data:.1%} of that between training images; see the sample grid"
        )
    return ""


def posterior_collapse(means: Tensor, images_seen: int) -> str:
    """Return a note if no latent of a variational model depends on the images, or an empty string.

    `means` are the posterior means of held-out images, (N, latent_dim). Judged after 10,000 training images.
    """
    if len(means) < 2 or images_seen < JUDGED_FROM or active_units(means):
        return ""
    return (
        f"posterior collapse: none of the {means.shape[1]} latents is active, so the images that the model makes do "
        "not depend on them; lower the weight of the KL term, or anneal it, see `active-units` and `rate`"
    )


def median_nearest_distance(pixels: Tensor) -> float:
    """Return the median over images of the Euclidean distance to the nearest other image, in grey levels.

    `pixels` is uint8 (N, channels, height, width), N ≥ 2.
    """
    flat = pixels.flatten(1).float()
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    return float(distances.min(dim=1).values.median())
