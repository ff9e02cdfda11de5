"""A plugin with metrics of every kind: one for all extractors with options, one of pixels, and some that break."""

from dataclasses import dataclass

import genbench

requires_api = "1.1"


@dataclass(frozen=True)
class Options:
    order: float = genbench.option(1.0, "order of the mean", minimum=0)


def scatter(evaluation, extractor, options):
    features = evaluation.features(extractor, "samples")
    value = float(features.std(0).pow(options.order).mean())
    return genbench.Estimate("scatter", value, None, len(features), "higher")


def brightness(evaluation):
    pixels = evaluation.samples.pixels
    return genbench.Estimate("brightness", float(pixels.float().mean()), None, len(pixels), "higher")


def contrast(evaluation):
    train, samples = (images.pixels.float().std() for images in (evaluation.train, evaluation.samples))
    return genbench.Estimate("contrast", float(samples / train), None, len(evaluation.samples.pixels), "higher")


def crash(evaluation):
    raise KeyError("no such key")


def misnamed(evaluation):
    return genbench.Estimate("fd-fashion-cnn", 0.1, None, 16, "lower")


def weightless(evaluation):
    raise genbench.ExtractorUnavailable("fetch the weights")


@genbench.hookimpl
def genbench_metrics():
    yield genbench.MetricSpec(
        name="scatter",
        summary="scatter of the samples",
        measure=scatter,
        direction="higher",
        per_extractor=True,
        options=Options,
        default=False,
    )
    for measure, direction in (
        (brightness, "higher"),
        (contrast, "higher"),
        (crash, "higher"),
        (misnamed, "lower"),
        (weightless, "lower"),
    ):
        name = measure.__name__
        yield genbench.MetricSpec(name=name, summary=name, measure=measure, direction=direction, default=False)
    yield genbench.MetricSpec(
        name="sharpness",
        summary="of reconstructions",
        measure=lambda evaluation: genbench.Unavailable("sharpness", "not written"),
        direction="higher",
        needs_reconstruction=True,
        default=False,
    )
