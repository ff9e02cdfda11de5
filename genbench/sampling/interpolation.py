"""Interpolation strips of a trained model: images between pairs of latents, one pair per row."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.training import LatentFamily
from genbench.data.loading import LoadedData
from genbench.results.schema import CellIdentity
from genbench.sampling.inference import inference_context, to_levels
from genbench.sampling.latent_space import interpolate_latents
from genbench.sampling.sampler import GENERATES, SAMPLING_BATCH, SampledModel, draw_labels
from genbench.seeds import seeded_generator
from genbench.train.network_checks import require_range

PAIRS, STEPS = 4, 8  # rows, and images in each


def interpolation_strips(
    built: SampledModel, identity: CellIdentity, data: LoadedData, device: torch.device
) -> Tensor | None:
    """Return uint8 images (`PAIRS` · `STEPS`, channels, height, width), row by row, both ends included.

    Latents of a normal prior move on great circles, those of a uniform one on straight lines
    (`genbench.sampling.latent_space.interpolate_latents`). A conditional model keeps one label per row. None for
    families that do not generate from continuous latents. Raises `ValueError` for images that are not of the shape of
    the data or not finite, and `SpecError` for values outside the declared range.
    """
    family = built.family_for_sampling()
    if not isinstance(family, LatentFamily):
        return None
    rng = seeded_generator(identity.seed, "interpolation", device)
    # With batch statistics, each image is normalised together with as many others as a sample is.
    pairs = SAMPLING_BATCH if built.recipe.sample_statistics == "batch" else PAIRS
    labels = draw_labels(data, pairs, identity.seed, device) if built.model.conditional else None
    low, high = built.model.value_range
    with inference_context(
        built.sampled_networks.values(), device, built.recipe.precision, built.recipe.sample_statistics
    ):
        first, last = family.latents(pairs, rng), family.latents(pairs, rng)
        if not first.is_floating_point():
            return None
        paths = [interpolate_latents(*ends, STEPS, built.model.prior) for ends in zip(first, last, strict=True)]
        columns = [family.generate(latents, labels)[:PAIRS].float() for latents in torch.stack(paths, dim=1)]
        images = torch.stack(columns, dim=1).flatten(0, 1)
        if images.shape[1:] != identity.image_shape:
            raise ValueError(f"images of {tuple(images.shape[1:])} came, not of {identity.image_shape}")
        least, greatest = (float(end) for end in images.aminmax())
        if not (least > float("-inf") and greatest < float("inf")):
            raise ValueError("they contain values that are not finite")
        require_range(built.model, least, greatest, GENERATES, built.recipe.precision)
        return to_levels(images, low, high).cpu().clone()
