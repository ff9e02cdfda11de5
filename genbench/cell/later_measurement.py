"""Measuring further metrics of a finished cell, from the weights that its run saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.cell.evaluation_data import evaluation_of
from genbench.cell.memory_limits import limit_memory
from genbench.cell.sampler_values import measure_sampler
from genbench.data.loading import load_data
from genbench.errors import DataError
from genbench.measure.accelerator import select_device
from genbench.measure.matmul_precision import tf32
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.measuring import measure
from genbench.plugins.chosen_metrics import ChosenMetric, chosen_metrics
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.messages import Job, MetricValues, SamplerValues
from genbench.process.worker_channel import WorkerChannel
from genbench.results.store import RunDirectory
from genbench.sampling.checkpoint_model import load_from_checkpoint
from genbench.sampling.likelihood import exact_likelihoods, likelihood_bounds
from genbench.sampling.sampler import draw
from genbench.train.torch_setup import step_settings


def measure_trained(job: Job, channel: WorkerChannel) -> MetricValues:
    """Do the same as `_measure`, under the settings of torch with which the run drew its samples."""
    assert job.cell is not None
    with step_settings(str(job.cell.identity.recipe["precision"])):
        return _measure(job, channel)


def _measure(job: Job, channel: WorkerChannel) -> MetricValues:
    """Measure the job's metrics on the samples that the run drew at the end of training, or draws with its samplers.

    Raises `NoDataError` where the cell has no weights, and `DataError` where its dataset has changed since.
    """
    assert job.cell is not None
    planned, identity, device = job.cell, job.cell.identity, select_device(job.device)
    limit_memory(job.memory_limit, device)
    catalogue, run = load_catalogue(job.plugins), RunDirectory(Path(job.run))
    channel.activity("loading data")
    data = load_data(identity.dataset, identity.image_shape, catalogue, channel.count)
    result = run.read_cells([planned.id]).results.get(planned.id)
    trained_on = result.comparability.data_hash if result is not None and result.comparability is not None else ""
    if trained_on and trained_on != data.hash:
        raise DataError(
            f"The images of '{identity.dataset.name}' have changed since this cell was trained.",
            "Restore them, or start a new run.",
            code="GB309",
        )
    channel.activity("loading weights")
    dataset = catalogue.require("datasets", identity.dataset.name).spec
    trained = load_from_checkpoint(run, planned, device, catalogue, dataset, train_size=len(data.train_pixels))
    known = [entry.spec for entry in catalogue.metrics.values()]
    evaluation: CellEvaluation | None = None

    def evaluated(samples: Images, *of_model: Any) -> CellEvaluation:
        nonlocal evaluation  # the next one keeps what was computed from the data
        if evaluation is None:
            evaluation = evaluation_of(
                samples, data, identity.dataset.name, catalogue, device, identity.seed, channel.count
            )
        evaluation = evaluation.with_samples(samples, *of_model)
        return evaluation

    def chosen(names: Sequence[str]) -> list[ChosenMetric]:
        return chosen_metrics(names, catalogue, job.metric_options, identity.metric_origins)

    estimates, unavailable, by_sampler = list[Estimate](), list[Unavailable](), list[SamplerValues]()
    if job.metrics:
        channel.activity("generating samples")
        drawn = draw(trained, identity, data, device, trained.recipe.samples, show=channel.count)
        model = trained, data, identity.seed, device
        likelihoods = likelihood_bounds(*model), exact_likelihoods(*model)
        whole = evaluated(drawn.samples, drawn.reconstructions, *likelihoods)
        channel.activity("measuring metrics")
        with tf32(False):
            estimates, unavailable = measure(
                chosen(job.metrics), whole, trained.family_spec.reconstructs, known, channel.count
            )
    for one in job.by_sampler:
        channel.activity(f"measuring the sampler {one.sampler.label}")
        model_and_data = trained, identity, data, device
        wanted = chosen(one.metrics)
        by_sampler.append(measure_sampler(*model_and_data, one.sampler, wanted, evaluated, known, channel.count))
    return MetricValues(estimates, unavailable, by_sampler, [*trained.notes])
