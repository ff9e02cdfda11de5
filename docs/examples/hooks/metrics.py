"""A plugin that registers a metric."""

import torch

import genbench


def measure(evaluation):
    """Return the mean brightness of the samples, in [0, 1]."""
    pixels = torch.as_tensor(evaluation.samples.pixels)
    value = float(pixels.float().mean() / 255)
    return genbench.Estimate(
        metric="my-brightness", value=value, standard_error=None, n=len(pixels), direction="higher"
    )


@genbench.hookimpl
def genbench_metrics():
    """Register the metric."""
    yield genbench.MetricSpec(name="my-brightness", summary="brightness", measure=measure, direction="higher")
