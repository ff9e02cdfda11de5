"""The built-in metrics. Fréchet distances are not among them: every extractor brings its own."""

from __future__ import annotations

from collections.abc import Iterable

from genbench import MetricSpec, hookimpl


@hookimpl
def genbench_metrics() -> Iterable[MetricSpec]:
    """Yield the built-in metrics."""
    yield MetricSpec(
        name="reconstruction-mse",
        summary="squared error per pixel on [0, 1] between held-out images and their reconstructions",
        measure="genbench.metrics.reconstruction_mse:measure",
        direction="lower",
        needs_reconstruction=True,
    )
    yield MetricSpec(
        name="psnr",
        summary="peak signal-to-noise ratio in dB of held-out images' reconstructions",
        measure="genbench.metrics.psnr:measure",
        direction="higher",
        needs_reconstruction=True,
    )
    yield MetricSpec(
        name="diversity",
        summary="spread of the generated images' pixels beside the training images': 1 as spread, 0 all alike",
        measure="genbench.metrics.diversity:measure",
        direction="higher",
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
