"""Reference rows: the metrics of real held-out images and of noise."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

from genbench.api.images import Images
from genbench.api.specs import DatasetSpec
from genbench.cell.evaluation_data import evaluation_of
from genbench.cell.memory_limits import limit_memory
from genbench.cell.used_extractors import UsedExtractors
from genbench.data.loading import LoadedData, load_data
from genbench.measure.accelerator import select_device
from genbench.metrics.measuring import measure
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.chosen_metrics import chosen_metrics
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.messages import Job
from genbench.process.worker_channel import ShowCount, WorkerChannel
from genbench.results.schema import HELD_OUT, NOISE, PlannedReference, ReferenceResult, ReferenceRow
from genbench.results.store import RunDirectory
from genbench.sampling.sample_grids import write_samples
from genbench.seeds import seeded_generator


def measure_reference(job: Job, channel: WorkerChannel) -> ReferenceResult:
    """Measure the planned metrics on held-out images, the best case, and on uniform noise, the worst."""
    assert job.reference is not None
    planned, device = job.reference, select_device(job.device)
    limit_memory(job.memory_limit, device)
    catalogue = load_catalogue(job.plugins)
    channel.activity("loading data")
    data = load_data(planned.dataset, planned.image_shape, catalogue, channel.count)
    extractors = UsedExtractors(planned, catalogue, data, device, channel.count).prepare()
    channel.activity("measuring reference rows")
    spec: DatasetSpec = catalogue.require("datasets", planned.dataset.name).spec
    held_out = data.test_pixels[: planned.samples]
    labels = None if data.test_labels is None else data.test_labels[: planned.samples]
    with contextlib.suppress(OSError):  # a full disk loses the image, not the numbers
        points = data.train_pixels if spec.points else None
        write_samples(RunDirectory(Path(job.run)).sample_path(planned.id), held_out, points)
    shape = (planned.samples, *planned.image_shape)
    rng = seeded_generator(0, "noise", torch.device("cpu"))
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
    rows = [
        _row(HELD_OUT, Images(held_out, labels), planned, catalogue, data, device, channel.count),
        _row(NOISE, Images(noise), planned, catalogue, data, device, channel.count),
    ]
    return ReferenceResult(
        id=planned.id,
        dataset=planned.dataset,
        image_shape=planned.image_shape,
        rows=rows,
        extractors=extractors,
        data_hash=data.hash,
        notes=list(data.notes),
    )


def _row(
    name: str,
    images: Images,
    planned: PlannedReference,
    catalogue: Catalogue,
    data: LoadedData,
    device: torch.device,
    show: ShowCount,
) -> ReferenceRow:
    def show_here(what: str, done: int, total: int) -> None:
        show(f"{name}: {what}", done, total)

    evaluation = evaluation_of(images, data, planned.dataset.name, catalogue, device, show=show_here)
    names = [name for name in planned.metrics if not catalogue.metrics[name].spec.needs_bound]
    metrics = chosen_metrics(names, catalogue, planned.metric_options, planned.metric_origins)
    known = [entry.spec for entry in catalogue.metrics.values()]
    estimates, unavailable = measure(metrics, evaluation, reconstructs=False, known=known, show=show_here)
    return ReferenceRow(name=name, estimates=estimates, unavailable=unavailable)
