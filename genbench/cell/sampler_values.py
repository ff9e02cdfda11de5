"""Measuring the metrics of samples that a further sampler draws from a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from genbench.api.evaluation import Unavailable, show_nothing
from genbench.api.images import Images
from genbench.api.options import OptionValue
from genbench.api.specs import MetricSpec
from genbench.api.training import Sampler
from genbench.data.loading import LoadedData
from genbench.errors import UsageError
from genbench.measure.matmul_precision import tf32
from genbench.measure.user_frame import error_location
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.measuring import measure
from genbench.metrics.returned_values import failure
from genbench.planning.samplers import measures_samples, named_by_sampler, samplers_of
from genbench.plugins.chosen_metrics import ChosenMetric
from genbench.process.messages import SamplerValues
from genbench.process.worker_channel import ShowCount
from genbench.results.schema import CellIdentity, ChosenSampler
from genbench.sampling.sampler import SampledModel, draw


def measure_sampler(
    model: SampledModel,
    identity: CellIdentity,
    data: LoadedData,
    device: torch.device,
    chosen: ChosenSampler,
    metrics: Sequence[ChosenMetric],
    evaluated: Callable[[Images], CellEvaluation],
    known: Iterable[MetricSpec],
    show: ShowCount = show_nothing,
) -> SamplerValues:
    """Draw with a sampler and measure those of the metrics that judge samples.

    The estimates are named after metric and sampler, whose options are part of their protocols. A sampler that
    fails costs only its own values.

    Args:
        model: the trained model.
        identity: of its cell.
        data: that it was trained on.
        device: where its networks are.
        chosen: the sampler, one of its family's.
        metrics: what to measure; metrics of a reconstruction or a likelihood do not depend on the sampler.
        evaluated: returns what metrics receive, with these samples.
        known: all metrics there are, whose names no other metric may use.
        show: learns how many samples are drawn, and which metric is measured.
    """
    metrics = [metric for metric in metrics if measures_samples(metric.spec)]
    declared = samplers_of(model.family_spec)[chosen.name]
    sampler = Sampler(chosen.name, declared.make_options(chosen.options))
    try:
        drawn = draw(model, identity, data, device, model.recipe.samples, False, sampler, show)
    except Exception as error:
        said = f"the sampler '{chosen.name}' of the family '{model.family_spec.name}' failed: {failure(error)}"
        said += error_location(error)
        failed = not isinstance(error, UsageError)  # which says that the model has nothing to truncate
        missing = [Unavailable(named_by_sampler(one.spec.name, chosen.label), said, failed) for one in metrics]
        return SamplerValues([], missing)
    with tf32(False):  # metrics do not depend on the precision of training
        found, missing = measure(metrics, evaluated(drawn.samples), False, known, show)
    settings = {"sampler": chosen.name, **{key: _plain(value) for key, value in chosen.options.items()}}
    estimates = [
        replace(one, metric=named_by_sampler(one.metric, chosen.label), protocol={**one.protocol, **settings})
        for one in found
    ]
    missing = [replace(one, metric=named_by_sampler(one.metric, chosen.label)) for one in missing]
    return SamplerValues(estimates, missing, drawn.per_second, drawn.evaluations or None)


def _plain(value: OptionValue) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)
