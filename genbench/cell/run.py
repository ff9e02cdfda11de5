"""The life of a cell: seed, load, build, warm up, train, evaluate, and a result whatever happens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import torch

from genbench.api.specs import DatasetSpec
from genbench.cell import distributed
from genbench.cell.batch_size_search import suggest_batch, train_a_moment
from genbench.cell.collapse import signs_of_collapse
from genbench.cell.comparability import comparability
from genbench.cell.evaluator import Evaluator
from genbench.cell.failure import diagnose, write_traceback
from genbench.cell.memory_limits import limit_memory
from genbench.cell.partial_result import (
    Draft,
    keep_closest_pairs,
    keep_what_was_made,
    record_looks,
    record_surroundings,
    record_training,
)
from genbench.cell.setting_warnings import cautions
from genbench.cell.training_loop import Training
from genbench.data.loading import LoadedData, load_data
from genbench.errors import UsageError
from genbench.measure import accelerator, machine
from genbench.measure.interference import InterferenceMonitor
from genbench.measure.matmul_precision import has_tf32, tf32
from genbench.measure.memory import read_peak, resident_bytes
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.worker_catalogue import load_registry
from genbench.process.messages import Job
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import (
    CellIdentity,
    CellResult,
    Durations,
    PlannedCell,
    Provenance,
    Status,
)
from genbench.results.store import RunDirectory
from genbench.sampling.sampler import sample
from genbench.train.builder import Built, build_cell
from genbench.train.divergence import Diverged, locate
from genbench.train.engine import Engine
from genbench.train.engines.selection import choose_engine, engine_notes
from genbench.train.network_checks import count_parameters
from genbench.train.process_group import MainRankFailed, World
from genbench.train.training_evidence import TrainingEvidence


def execute_cell(job: Job, channel: WorkerChannel, world: World | None = None) -> CellResult:
    """Execute the job's cell and return its result; every failure of plugin, data or machine becomes a status.

    When several processes train the cell, the result of the main one counts; the others raise `MainRankFailed` once the
    main one has given up.
    """
    assert job.cell is not None
    planned, world = job.cell, world or World()
    draft = Draft()
    started, begin = _now(), time.perf_counter()
    load_before = machine.load_average()
    status: Status
    try:
        with tf32(planned.identity.recipe["precision"] == "tf32"):
            status, reason = _run(job, planned, draft, channel, world)
    except Diverged as error:
        status, reason = "diverged", f"{error}; try a lower --learning-rate, or --precision fp32 if it was another"
    except (StopRequested, MainRankFailed):
        raise
    except BaseException as error:  # also SystemExit: a plugin that calls sys.exit has failed
        write_traceback()
        lost = world.give_way(error)
        status, reason = diagnose(error)
        reason = f"the connection to another process of this cell was lost ({reason})" if lost else reason
    provenance = Provenance(
        started=started,
        finished=_now(),
        host=machine.host(),
        resumed_at_step=draft.fields.pop("resumed_at_step", None),
        versions=machine.versions(),
        load_average=[load_before, machine.load_average()],
    )
    result = CellResult(
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
    return suggest_batch(result, draft.attempt, channel) if status == "oom" and draft.attempt else result


def _run(job: Job, planned: PlannedCell, draft: Draft, channel: WorkerChannel, world: World) -> tuple[Status, str]:
    identity, run, device = planned.identity, RunDirectory(Path(job.run)), accelerator.select_device(job.device)
    limit_memory(job.memory_limit, device, job.processes)
    if identity.recipe["precision"] == "tf32" and not has_tf32(device):
        raise UsageError(
            f"{accelerator.accelerator_name(device) or 'A CPU'} has no TF32.",
            "NVIDIA GPUs have it from compute capability 8.0 on; use --precision fp32 or bf16.",
        )
    torch.backends.cudnn.benchmark = True
    catalogue = load_registry(job.plugins)
    draft.notes += [f"{plugin.title}: {note}" for plugin in catalogue.plugins for note in plugin.notes]
    baseline = resident_bytes()
    channel.activity("loading data")
    with draft.timing("load"):
        data = world.first(lambda: load_data(identity.dataset, identity.image_shape, catalogue))
    draft.notes += data.notes
    draft.fields["comparability"] = comparability(identity, device, data, job.processes)
    channel.activity("building networks")
    with draft.timing("build"):
        cell = _Cell(job, identity, run, catalogue, data, device, draft, world)
        built, training, looks = _prepare(cell)
        distributed.require_alike("Before training", world, built.engine, data.hash)
    draft.fields.update(
        parameters=count_parameters(built.setup.networks),
        total_parameters=count_parameters(built.setup.networks, frozen=True),
        frozen=built.frozen,
        transfer=built.transfer,
        classes=data.num_classes if built.model.conditional else 0,
        class_names=list(data.class_names) if built.model.conditional else [],
    )
    draft.notes += cautions(built, identity, catalogue)
    _choose_engine(draft, training, str(built.recipe["engine"]), channel)

    channel.activity("training")
    if world.size == 1:
        draft.attempt = partial(train_a_moment, identity, catalogue, data, device)
    monitor = InterferenceMonitor(device)
    try:
        with draft.timing("train"):
            training.run(channel)
    except Diverged as error:
        if error.step is None and world.size > 1:
            raise  # by an evaluation, of which the other processes know nothing: they cannot repeat the steps
        channel.activity("looking for the first bad step")
        raise Diverged(f"{error}; {_locate(cell, error.step or built.engine.step_number)}", error.step) from error
    finally:
        built.engine.data.close()
        record_training(draft, training, built, looks)
        draft.fields["distributed"] = distributed.describe(world, built, job.start_seconds)
        if world.size == 1:
            record_surroundings(draft, monitor.stop())
    draft.attempt = None
    if world.size > 1:
        record_surroundings(draft, distributed.seen_by_all(world, monitor.stop()))
    draft.fields["memory"] = read_peak(device, baseline)
    draft.fields["proof"] = training.evidence.proof(
        {p.phase.name: p.updates for p in built.engine.players if p.optimizer is not None}
    )
    if draft.fields["proof"].not_finite:
        channel.activity("looking for the first bad step")
        named = ", ".join(draft.fields["proof"].not_finite[:3])
        raise Diverged(f"parameters are not finite: {named}; {_locate(cell, built.engine.step_number)}")
    distributed.require_alike("After training", world, built.engine, data.hash)
    distributed.part(built.engine)
    if not world.main:
        return "ok", ""

    draft.fields["sampling"] = {
        "weights": built.sampled_weights,
        "batch_norm": f"{built.recipe['sample_statistics']} statistics",
    }
    dataset: DatasetSpec = catalogue.require("datasets", identity.dataset.name).spec
    channel.activity("generating samples")
    with draft.timing("evaluate"), training.saved_when_stopped():
        drawn = looks.draw()
        draft.fields["samples_per_second"] = drawn.per_second
        points = data.train_pixels if dataset.points else None
        keep_what_was_made(draft, run, planned.id, drawn, built, points)
        if identity.metrics:
            channel.activity("measuring")
            draft.fields["estimates"], draft.fields["unavailable"] = looks.measure(drawn)
            looks.enter(draft.fields["estimates"])
            channel.say(looks.measured())
            record_looks(draft, looks)
            keep_closest_pairs(draft, run.closest_path(planned.id), looks)
    collapse = ""
    if not planned.synthetic_data:
        modes = _modes(draft, dataset)
        collapse = signs_of_collapse(drawn, data, built.engine.images_seen, pictures=points is None, modes=modes)
    channel.activity("counting operations")
    with draft.timing("count"):
        draw = partial(sample, built, identity, data, device)
        counted = distributed.count_for_all(world, built, draw, device, draft.fields["throughput"])
        draft.fields.update(counted.fields)
        draft.notes += counted.notes
    built.engine.data.close()
    return ("collapsed", collapse) if collapse else ("ok", "")


@dataclass(frozen=True)
class _Cell:
    """What a cell is built from, as often as it takes."""

    job: Job
    identity: CellIdentity
    run: RunDirectory
    catalogue: Catalogue
    data: LoadedData
    device: torch.device
    draft: Draft
    world: World

    def build(self) -> Built:
        return build_cell(self.identity, self.catalogue, self.data, self.device, self.draft.notes, self.world)


def _prepare(cell: _Cell) -> tuple[Built, Training, Evaluator]:
    """Build the cell and go on from its checkpoint; a checkpoint that cannot be used is set aside with a note."""
    assert cell.job.cell is not None
    id = cell.job.cell.id
    resume_path = cell.run.resume_path(id)
    for attempt in (1, 2):
        built = cell.build()
        engine = built.engine
        looks = Evaluator(
            built=built,
            identity=cell.identity,
            data=cell.data,
            catalogue=cell.catalogue,
            device=cell.device,
            best_path=cell.run.best_path(id),
            timing=lambda: cell.draft.timing("evaluate_between"),
            observes=not cell.job.cell.synthetic_data,
        )
        training = Training(
            engine=engine,
            evidence=TrainingEvidence(built.setup.networks),
            total_steps=max(1, -(-_whole(built, "images") // engine.images_per_step)),
            warmup_steps=_whole(built, "warmup_steps"),
            resume_path=resume_path,
            checkpoint_seconds=cell.job.checkpoint_seconds,
            data_hash=cell.data.hash,
            device=cell.device,
            looks=looks,
            evaluate_every=_whole(built, "evaluate_every"),
            world=cell.world,
        )
        problem = next(filter(None, cell.world.gather(_resume(training))), "")
        if not problem:
            break
        if attempt == 2:
            raise ValueError(problem)
        aside = resume_path.with_name(resume_path.name + ".unusable")
        cell.world.first(lambda: resume_path.replace(aside) if cell.world.main else None)  # noqa: B023 - called here
        cell.draft.notes.append(
            f"the checkpoint of an interrupted training could not be used ({problem}): trained anew; it is kept as "
            f"{aside.name}"
        )
    return built, training, looks


def _resume(training: Training) -> str:
    """Go on from the checkpoint, if there is one; return why it is no use, or an empty string."""
    try:
        training.resume()
    except ValueError as error:
        return str(error) or type(error).__name__
    return ""


def _choose_engine(draft: Draft, training: Training, asked: str, channel: WorkerChannel) -> None:
    """Have the training executed as the recipe asks, and record what was found on the way."""
    steps_left = training.total_steps - training.engine.step_number
    before = training.executed_by if training.resumed_at_step is not None else ""
    together = training.world.size > 1
    record = choose_engine(training.engine, "eager" if together else asked, steps_left, channel.activity, before)
    if together:
        record = msgspec.structs.replace(record, asked=asked, reason="several processes train eagerly")
    training.executed_by = record.used
    draft.fields["engine"] = record
    draft.fields["comparability"] = msgspec.structs.replace(draft.fields["comparability"], engine=record.used)
    draft.notes += engine_notes(record, before, training.engine.step_number)
    draft.seconds |= {"compile": record.prepare_seconds, "engine_check": record.check_seconds}


def _locate(cell: _Cell, until_step: int) -> str:
    """Say where the training went wrong; what hinders the search must not hide what it searches for."""

    def rebuild() -> Engine:
        return _prepare(cell)[1].engine

    try:
        return locate(rebuild, until_step, lambda: cell.world.shared(time.monotonic))
    except Exception as hindrance:
        return f"the first bad step could not be found ({type(hindrance).__name__}: {hindrance})"


def _modes(draft: Draft, dataset: DatasetSpec) -> tuple[int, int] | None:
    """Return how many modes the samples are in, and how many there are, where that was measured."""
    found = next((round(e.value) for e in draft.fields.get("estimates", []) if e.metric == "modes"), None)
    return None if found is None or dataset.modes is None else (found, dataset.modes)


def _whole(built: Built, name: str) -> int:
    value = built.recipe[name]
    assert isinstance(value, int)
    return value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
