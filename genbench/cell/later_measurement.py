"""Measuring further metrics of a finished cell, from the weights that its run saved."""

from __future__ import annotations

from pathlib import Path

import torch

from genbench.cell.evaluation_data import evaluation_of
from genbench.cell.memory_limits import limit_memory
from genbench.data.loading import load_data
from genbench.errors import DataError
from genbench.measure.accelerator import select_device
from genbench.measure.matmul_precision import tf32
from genbench.metrics.measuring import measure
from genbench.plugins.chosen_metrics import chosen_metrics
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.messages import Job, MetricValues
from genbench.process.worker_channel import WorkerChannel
from genbench.results.store import RunDirectory
from genbench.sampling.checkpoint_model import load_from_checkpoint
from genbench.sampling.likelihood import likelihood_bounds
from genbench.sampling.sampler import draw


def measure_trained(job: Job, channel: WorkerChannel) -> MetricValues:
    """Measure the job's metrics on the samples that the run drew at the end of training, and on the same images.

    Raises `NoDataError` where the cell has no weights, and `DataError` where its dataset has changed since.
    """
    assert job.cell is not None
    planned, identity, device = job.cell, job.cell.identity, select_device(job.device)
    limit_memory(job.memory_limit, device)
    torch.backends.cudnn.benchmark = True
    catalogue, run = load_catalogue(job.plugins), RunDirectory(Path(job.run))
    channel.activity("loading data")
    data = load_data(identity.dataset, identity.image_shape, catalogue)
    result = run.read_cells().results.get(planned.id)
    trained_on = result.comparability.data_hash if result is not None and result.comparability is not None else ""
    if trained_on and trained_on != data.hash:
        raise DataError(
            f"The images of '{identity.dataset.name}' have changed since this cell was trained.",
            "Restore them, or start a new run.",
        )
    channel.activity("loading weights")
    dataset = catalogue.require("datasets", identity.dataset.name).spec
    trained = load_from_checkpoint(run, planned, device, catalogue, dataset, train_size=len(data.train_pixels))
    channel.activity("generating samples")
    drawn = draw(trained, identity, data, device, trained.recipe.samples)
    bounds = likelihood_bounds(trained, data, identity.seed, device)
    evaluation = evaluation_of(drawn.samples, data, identity.dataset.name, catalogue, device, identity.seed)
    evaluation = evaluation.with_samples(drawn.samples, drawn.reconstructions, bounds)
    channel.activity("measuring metrics")
    metrics = chosen_metrics(job.metrics, catalogue, job.metric_options, identity.metric_origins)
    known = [entry.spec for entry in catalogue.metrics.values()]
    with tf32(False):
        estimates, unavailable = measure(metrics, evaluation, trained.family_spec.reconstructs, known)
    return MetricValues(estimates, unavailable, [*trained.notes])
