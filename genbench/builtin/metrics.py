"""The built-in metrics, except feature metrics, which are derived from each extractor."""

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
        summary="structural similarity of held-out images and their reconstructions; 1: identical",
        measure="genbench.metrics.reconstruction:measure_ssim",
        direction="higher",
        needs_reconstruction=True,
        needs_pictures=True,
    )
    yield MetricSpec(
        name="reconstruction-ms-ssim",
        summary="multi-scale structural similarity of held-out images and their reconstructions; 1: identical",
        measure="genbench.metrics.reconstruction:measure_ms_ssim",
        direction="each",
        estimates={"reconstruction-ms-ssim": "higher"},
        needs_reconstruction=True,
        needs_pictures=True,
        default=False,
    )
    yield MetricSpec(
        name="reconstruction-error",
        summary="quantiles over held-out images of the squared error per pixel of their reconstructions",
        measure="genbench.metrics.reconstruction:measure_errors",
        direction="each",
        estimates={f"reconstruction-error-{percent}": "lower" for percent in (5, 50, 95, 99)},
        needs_reconstruction=True,
        default=False,
    )
    yield MetricSpec(
        name="lpips",
        summary="perceptual distance in AlexNet between held-out images and their reconstructions; 0: identical",
        measure="genbench.metrics.networks.perceptual_similarity:measure",
        direction="lower",
        needs_reconstruction=True,
        needs_pictures=True,
        default=False,
    )
    yield MetricSpec(
        name="cas",
        summary="accuracy on held-out images of classifiers trained on the samples of a conditional model; slow",
        measure="genbench.metrics.networks.classification_accuracy:measure",
        direction="higher",
        needs_pictures=True,
        default=False,
    )
    yield MetricSpec(
        name="diversity",
        summary="pixel variation of generated images relative to training images; 1: equal, 0: all images identical",
        measure="genbench.metrics.diversity:measure",
        direction="higher",
    )
    yield MetricSpec(
        name="ms-ssim",
        summary="multi-scale similarity of random pairs of generated images; above that of the data: less diverse",
        measure="genbench.metrics.ms_ssim:measure",
        direction="lower",
        needs_pictures=True,
        default=False,
    )
    yield MetricSpec(
        name="modes",
        summary="modes of the training images that contain at least one generated image",
        measure="genbench.metrics.modes:measure_found",
        direction="higher",
        needs_modes=True,
    )
    yield MetricSpec(
        name="mode-kl",
        summary="KL divergence in nats between the histograms over modes of generated and training images",
        measure="genbench.metrics.modes:measure_kl",
        direction="lower",
        needs_modes=True,
    )
    yield MetricSpec(
        name="mode-quality",
        summary="fraction of generated images that are in a mode",
        measure="genbench.metrics.modes:measure_quality",
        direction="higher",
        needs_modes=True,
    )
    yield from _of_bounds()


def _of_bounds() -> Iterable[MetricSpec]:
    """Yield the metrics of models that bound the likelihood of images; `--metrics likelihood` selects them all."""
    yield MetricSpec(
        name="elbo",
        summary="evidence lower bound (β = 1) of held-out images, nats per image, whatever β was used in training",
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
        summary="importance-weighted bound from 64 latents per held-out image, nats per image",
        measure=f"{_LIKELIHOOD}:measure_iwae",
        direction="higher",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="bits-per-dim",
        summary="-ELBO in bits per pixel and channel, for likelihoods over 256 levels",
        measure=f"{_LIKELIHOOD}:measure_bits_per_dim",
        direction="lower",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="active-units",
        summary="latents whose posterior mean has a variance above 0.01 over images",
        measure="genbench.metrics.active_units:measure",
        direction="higher",
        needs_bound=True,
        default=False,
    )
    yield MetricSpec(
        name="mig",
        summary="mutual information gap: does a single latent encode each known factor? 1: fully, 0: not at all",
        measure="genbench.metrics.mig:measure",
        direction="higher",
        needs_bound=True,
        needs_factors=True,
    )
