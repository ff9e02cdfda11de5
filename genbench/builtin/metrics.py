"""The built-in metrics. Those of features are not among them: every extractor brings its own."""

from __future__ import annotations

from collections.abc import Iterable

from genbench import MetricSpec, hookimpl

_LIKELIHOOD = "genbench.metrics.likelihood"


@hookimpl
def genbench_metrics() -> Iterable[MetricSpec]:
    """Yield the built-in metrics."""
    yield MetricSpec(
        name="reconstruction-mse",
        summary="squared error per pixel on [0, 1] between held-out images and their reconstructions",
        measure="genbench.metrics.reconstruction:measure_mse",
        direction="lower",
        needs_reconstruction=True,
    )
    yield MetricSpec(
        name="psnr",
        summary="peak signal-to-noise ratio in dB of held-out images' reconstructions",
        measure="genbench.metrics.reconstruction:measure_psnr",
        direction="higher",
        needs_reconstruction=True,
    )
    yield MetricSpec(
        name="ssim",
        summary="structural similarity of held-out images and their reconstructions: 1 the same",
        measure="genbench.metrics.reconstruction:measure_ssim",
        direction="higher",
        needs_reconstruction=True,
        needs_pictures=True,
    )
    yield MetricSpec(
        name="diversity",
        summary="spread of the generated images' pixels beside the training images': 1 as spread, 0 all alike",
        measure="genbench.metrics.diversity:measure",
        direction="higher",
    )
    yield MetricSpec(
        name="ms-ssim",
        summary="multi-scale similarity of random pairs of generated images: higher than the data's, less various",
        measure="genbench.metrics.ms_ssim:measure",
        direction="lower",
        needs_pictures=True,
        default=False,
    )
    yield MetricSpec(
        name="modes",
        summary="modes of the training images that at least one generated image is in",
        measure="genbench.metrics.modes:measure_found",
        direction="higher",
        needs_modes=True,
    )
    yield MetricSpec(
        name="mode-kl",
        summary="KL divergence in nats of the generated images' histogram over modes from the training images'",
        measure="genbench.metrics.modes:measure_kl",
        direction="lower",
        needs_modes=True,
    )
    yield MetricSpec(
        name="mode-quality",
        summary="share of the generated images that are in some mode",
        measure="genbench.metrics.modes:measure_quality",
        direction="higher",
        needs_modes=True,
    )
    yield from _of_bounds()


def _of_bounds() -> Iterable[MetricSpec]:
    """Yield what can be said of a model that bounds the likelihood of images; `--metrics likelihood` names them all."""
    yield MetricSpec(
        name="elbo",
        summary="evidence lower bound at β = 1 of held-out images, nats per image, whatever β was trained with",
        measure=f"{_LIKELIHOOD}:measure_elbo",
        direction="higher",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="rate",
        summary="KL divergence of q(z|x) from the prior, nats per image; read it with distortion",
        measure=f"{_LIKELIHOOD}:measure_rate",
        direction="lower",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="distortion",
        summary="-log p(x|z) of held-out images, nats per image; read it with rate",
        measure=f"{_LIKELIHOOD}:measure_distortion",
        direction="lower",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="iwae-k64",
        summary="importance-weighted bound from 64 latents for each held-out image, nats per image",
        measure=f"{_LIKELIHOOD}:measure_iwae",
        direction="higher",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="bits-per-dim",
        summary="-ELBO in bits per pixel and channel, where the likelihood is one of 256 levels",
        measure=f"{_LIKELIHOOD}:measure_bits_per_dim",
        direction="lower",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="active-units",
        summary="latents whose posterior mean varies from image to image by more than 0.01",
        measure="genbench.metrics.active_units:measure",
        direction="higher",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="mig",
        summary="mutual information gap: does one latent alone tell each known factor? 1 fully, 0 not at all",
        measure="genbench.metrics.mig:measure",
        direction="higher",
        needs_bound=True,
        needs_factors=True,
    )
