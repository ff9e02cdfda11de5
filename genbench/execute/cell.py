"""The life of a cell: seed, load, build, warm up, train, evaluate, and a result whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from genbench.execute.building import Built, build_cell, count_parameters
from genbench.execute.diagnosis import diagnose, write_traceback
from genbench.execute.evaluating import Drawn, draw, evaluate, has_collapsed, save_pictures
from genbench.execute.limits import limit_memory
from genbench.execute.loading import LoadedData, load_data
from genbench.execute.messages import Job
from genbench.execute.registry import load_registry
from genbench.execute.reporter import Reporter, StopRequested
from genbench.execute.training import Diverged, Training
from genbench.measure import accelerator, machine
from genbench.measure.memory import read_peak, resident_bytes
from genbench.measure.throughput import throughput
from genbench.results.schema import CellIdentity, CellResult, Comparability, Durations, PlannedCell, Provenance, Status
from genbench.results.store import RunDirectory
from genbench.train.checkpoint import save_weights
from genbench.train.proof import Witness


@dataclass
class _Draft:
    """What is known of a cell so far; becomes a result at any moment."""

    fields: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begin


def execute_cell(job: Job, reporter: Reporter) -> CellResult:
    """Execute the job's cell and return its result; every failure of plugin, data or machine becomes a status."""
    assert job.cell is not None
    planned = job.cell
    draft = _Draft()
    started, begin = _now(), time.perf_counter()
    load_before = machine.load_average()
    status: Status
    try:
        status, reason = _run(job, planned, draft, reporter)
    except Diverged as error:
        status, reason = "diverged", f"{error}; try a lower --learning-rate, or --precision fp32 if it was bf16"
    except StopRequested:
        raise
    except BaseException as error:  # also SystemExit: a plugin that calls sys.exit has failed
        write_traceback()
        status, reason = diagnose(error)
    provenance = Provenance(
        started=started,
        finished=_now(),
        host=machine.host(),
        resumed_at_step=draft.fields.pop("resumed_at_step", None),
        versions=machine.versions(),
        load_average=[load_before, machine.load_average()],
    )
    return CellResult(
        id=planned.id,
        identity=planned.identity,
        status=status,
        reason=reason,
        synthetic_data=planned.synthetic_data,
        provenance=provenance,
        durations=Durations(**draft.seconds, total=time.perf_counter() - begin),
        notes=draft.notes,
        **draft.fields,
    )


def _run(job: Job, planned: PlannedCell, draft: _Draft, reporter: Reporter) -> tuple[Status, str]:
    identity, run, device = planned.identity, RunDirectory(Path(job.run)), accelerator.select_device(job.device)
    limit_memory(job.memory_limit, device)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False  # 'fp32' means fp32
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    catalogue = load_registry(job.plugins)
    baseline = resident_bytes()
    reporter.activity("loading data")
    with draft.timing("load"):
        data = load_data(identity.dataset, identity.image_shape, catalogue)
    draft.notes += data.notes
    draft.fields["comparability"] = _comparability(identity, device, data)
    reporter.activity("building networks")
    with draft.timing("build"):
        built, training = _prepare(
            job, identity, run, draft, lambda: build_cell(identity, catalogue, data, device), data.hash, device
        )
    draft.fields["parameters"] = count_parameters(built.setup.networks)

    reporter.activity("training")
    try:
        with draft.timing("train"):
            training.run(reporter)
    finally:
        _record_training(draft, training, built)
    draft.fields["memory"] = read_peak(device, baseline)
    draft.fields["proof"] = training.witness.testify(
        {p.phase.name: p.updates for p in built.engine.players if p.optimizer is not None}
    )
    if draft.fields["proof"].not_finite:
        raise Diverged(f"parameters are not finite: {', '.join(draft.fields['proof'].not_finite[:3])}")

    draft.fields["sampling"] = {
        "weights": "averaged" if built.engine.average else "raw",
        "batch_norm": "running statistics",
    }
    reporter.activity("generating samples")
    with draft.timing("evaluate"):
        drawn = draw(built, identity, data, device)
        _keep_what_was_made(draft, run, planned.id, drawn, built)
        if identity.metrics:
            reporter.activity("measuring")
            draft.fields["estimates"], draft.fields["unavailable"] = evaluate(
                drawn, built, identity, data, catalogue, device
            )
    if not planned.synthetic_data and has_collapsed(drawn, data, built.engine.images_seen):
        return "collapsed", "the generated images are nearly all the same: see `diversity`, and the picture of samples"
    return "ok", ""


def _prepare(
    job: Job,
    identity: CellIdentity,
    run: RunDirectory,
    draft: _Draft,
    build: Callable[[], Built],
    data_hash: str,
    device: torch.device,
) -> tuple[Built, Training]:
    """Build the cell and go on from its checkpoint; a checkpoint that cannot be used is set aside with a note."""
    resume_path = run.resume_path(job.cell.id) if job.cell else Path()
    for attempt in (1, 2):
        built = build()
        engine = built.engine
        images, warmup = identity.recipe["images"], identity.recipe["warmup_steps"]
        assert isinstance(images, int) and isinstance(warmup, int)
        training = Training(
            engine=engine,
            witness=Witness(built.setup.networks),
            total_steps=max(1, -(-images // engine.images_per_step)),
            warmup_steps=warmup,
            resume_path=resume_path,
            checkpoint_seconds=job.checkpoint_seconds,
            data_hash=data_hash,
            device=device,
        )
        try:
            training.resume()
            break
        except ValueError as error:
            if attempt == 2:
                raise
            aside = resume_path.with_name(resume_path.name + ".unusable")
            resume_path.replace(aside)
            draft.notes.append(
                f"the checkpoint of an interrupted training could not be used ({error}): trained anew; it is kept as "
                f"{aside.name}"
            )
    return built, training


def _record_training(draft: _Draft, training: Training, built: Built) -> None:
    draft.notes += training.notes
    draft.fields.update(
        resumed_at_step=training.resumed_at_step,
        steps=built.engine.step_number,
        images=built.engine.images_seen,
        windows=training.windows,
        curves=training.curves,
        throughput=throughput(training.windows),
    )
    draft.seconds["warmup"] = sum(window.seconds for window in training.windows if window.warmup)


def _keep_what_was_made(draft: _Draft, run: RunDirectory, cell: str, drawn: Drawn, built: Built) -> None:
    """Write pictures and weights; a full disk, or state that is no tensor, costs these files, not the numbers."""
    networks = built.engine.average.networks if built.engine.average else built.setup.networks
    about = {"model": built.model.name, "weights": "averaged" if built.engine.average else "raw", "cell": cell}
    writes: dict[str, Callable[[], None]] = {
        "pictures": lambda: save_pictures(drawn, run.sample_path(cell), run.reconstruction_path(cell)),
        "weights": lambda: save_weights(run.checkpoint_path(cell), networks, about),
    }
    for what, write in writes.items():
        try:
            write()
        except Exception as error:
            draft.notes.append(f"the {what} could not be written: {getattr(error, 'strerror', None) or error}")


def _comparability(identity: CellIdentity, device: torch.device, data: LoadedData) -> Comparability:
    return Comparability(
        machine=machine.processor(),
        cores=machine.usable_cores(),
        threads=torch.get_num_threads(),
        openmp=machine.openmp_settings(),
        accelerator=accelerator.accelerator_name(device),
        driver=accelerator.driver_version(device),
        torch=str(torch.__version__),
        python=machine.versions()["python"],
        precision=str(identity.recipe["precision"]),
        engine=str(identity.recipe["engine"]),
        data_hash=data.hash,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
