"""The stages of a cell: load, build, train, evaluate, count. Each adds its record to the partial result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import torch

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.specs import DatasetSpec
from genbench.cell import distributed
from genbench.cell.artifacts import (
    write_closest_pairs,
    write_interpolation,
    write_samples_and_weights,
    write_training_samples,
)
from genbench.cell.batch_size_search import train_briefly
from genbench.cell.collapse import posterior_collapse, signs_of_collapse
from genbench.cell.comparability import comparability, with_engine, with_interference
from genbench.cell.counters import CounterRecord
from genbench.cell.evaluator import Evaluator
from genbench.cell.memory_limits import limit_memory
from genbench.cell.observations import Observations
from genbench.cell.partial_result import (
    BuildRecord,
    EngineChoiceRecord,
    EvaluationRecord,
    InterferenceRecord,
    LoadRecord,
    PartialResult,
    SamplerSpeedRecord,
    SamplesRecord,
    TrainedRecord,
    TrainingRecord,
    TrainingSamplesRecord,
)
from genbench.cell.setting_warnings import setting_warnings
from genbench.cell.training_loop import Training
from genbench.cell.turn import Turn
from genbench.data.loading import LoadedData, load_data
from genbench.errors import UsageError
from genbench.measure import accelerator
from genbench.measure.capabilities import has_tf32
from genbench.measure.interference import InterferenceMonitor, disturbances
from genbench.measure.memory import PeakMemory, resident_bytes
from genbench.measure.throughput import throughput
from genbench.planning.identity import step_key
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.process.messages import Job
from genbench.process.worker_channel import WorkerChannel
from genbench.results.schema import PlannedCell, Proof, Surroundings, Window
from genbench.results.store import RunDirectory
from genbench.sampling.interpolation import interpolation_strips
from genbench.sampling.sampler import Drawn, sample
from genbench.train.builder import Built, build_cell
from genbench.train.divergence import Diverged, locate
from genbench.train.engine import Engine
from genbench.train.engines.selection import choose_engine, engine_notes
from genbench.train.engines.step_tuning import StepRequest
from genbench.train.memory_format import use_memory_format
from genbench.train.network_checks import count_parameters
from genbench.train.process_group import World
from genbench.train.step_alternatives import step_alternatives, use_options
from genbench.train.torch_setup import threads_used
from genbench.train.training_evidence import TrainingEvidence


@dataclass(frozen=True)
class Cell:
    """A cell that is being executed."""

    job: Job
    planned: PlannedCell
    recipe: Recipe
    run: RunDirectory
    catalogue: Catalogue
    device: torch.device
    channel: WorkerChannel
    world: World
    known: PartialResult
    resident_before: int  # bytes of resident memory before the data were loaded
    turn: Turn

    @property
    def dataset(self) -> DatasetSpec:
        """The spec of the dataset."""
        spec: DatasetSpec = self.catalogue.require("datasets", self.planned.identity.dataset.name).spec
        return spec


@dataclass(frozen=True)
class Prepared:
    """A cell that is ready to train, or trained."""

    data: LoadedData
    built: Built
    training: Training
    evaluator: Evaluator


def open_cell(job: Job, planned: PlannedCell, channel: WorkerChannel, world: World, known: PartialResult) -> Cell:
    """Limit the memory, select the device and load the plugins; raise `UsageError` if the device is not suitable."""
    recipe = resolve_recipe(planned.identity.recipe, owner=planned.identity.model.name)
    device = accelerator.select_device(job.device)
    limit_memory(job.memory_limit, device, job.processes)
    if recipe.precision == "tf32" and not has_tf32(device):
        raise UsageError(
            f"{accelerator.accelerator_name(device) or 'A CPU'} has no TF32.",
            "NVIDIA GPUs with compute capability 8.0 or later have it; use --precision fp32 or bf16.",
            code="GB405",
        )
    catalogue = load_catalogue(job.plugins)
    known.notes += [f"{plugin.title}: {note}" for plugin in catalogue.plugins for note in plugin.notes]
    run = RunDirectory(Path(job.run))
    return Cell(job, planned, recipe, run, catalogue, device, channel, world, known, resident_bytes(), Turn(job.turn))


def load(cell: Cell) -> LoadedData:
    """Load the data."""
    identity, known = cell.planned.identity, cell.known
    cell.channel.activity("loading data")
    with known.timing("load"):
        data = cell.world.main_rank_first(
            lambda: load_data(identity.dataset, identity.image_shape, cell.catalogue, cell.channel.count)
        )
    known.notes += data.notes
    known.add(LoadRecord(comparability(cell.recipe, cell.device, data, cell.job.processes)))
    return data


def build(cell: Cell, data: LoadedData) -> Prepared:
    """Build the networks, resume from a checkpoint if there is one, and choose the engine."""
    known = cell.known
    cell.channel.activity("building networks")
    with known.timing("build"):
        prepared = _prepare(cell, data)
        built = prepared.built
        distributed.require_consistent("Before training", cell.world, built.engine, data.hash)
    conditional = built.model.conditional
    known.add(
        BuildRecord(
            parameters=count_parameters(built.setup.networks),
            total_parameters=count_parameters(built.setup.networks, frozen=True),
            frozen=built.frozen,
            transfer=built.transfer,
            classes=data.num_classes if conditional else 0,
            class_names=list(data.class_names) if conditional else [],
            unused_settings=sorted(built.unused_settings),
        )
    )
    known.notes += setting_warnings(built, cell.planned.identity, cell.catalogue)
    with cell.turn.held():  # engines and memory formats are chosen by their speed
        _choose_engine(cell, prepared.training)
    return prepared


def train(cell: Cell, prepared: Prepared) -> Proof:
    """Train for the whole budget; return the evidence that every parameter trained. Raises `Diverged`."""
    known, world, data, built = cell.known, cell.world, prepared.data, prepared.built
    cell.channel.activity("training")
    if world.size == 1:
        known.train_briefly = partial(
            train_briefly, cell.planned.identity, cell.catalogue, data, cell.device, built.memory_format
        )
    monitor = InterferenceMonitor(cell.device)
    try:
        with known.timing("train"):
            prepared.training.run(cell.channel)
    except Diverged as error:
        if error.step is None and world.size > 1:
            raise  # it happened in an evaluation on the main rank; the other ranks cannot repeat the steps
        raise Diverged(f"{error}; {_locate(cell, prepared, error.step)}", error.step) from error
    finally:
        built.engine.data.close()
        _record_training(cell, prepared)
        if world.size == 1:
            _record_interference(known, monitor.stop(), prepared.training.windows)
    known.train_briefly = None
    if world.size > 1:
        _record_interference(known, distributed.interference_of_all(world, monitor.stop()), prepared.training.windows)
    updates = {player.phase.name: player.updates for player in built.engine.players if player.optimizer is not None}
    proof = prepared.training.evidence.proof(updates)
    known.add(TrainedRecord(memory=prepared.training.memory.read(cell.resident_before), proof=proof))
    if proof.not_finite:
        named = ", ".join(proof.not_finite[:3])
        raise Diverged(f"parameters are not finite: {named}; {_locate(cell, prepared)}")
    distributed.require_consistent("After training", world, built.engine, data.hash)
    distributed.stop_synchronising(built.engine)
    return proof


def keep_training_samples(cell: Cell, prepared: Prepared) -> None:
    """Write the samples of the observations during training, however it ended."""
    if not cell.world.main:
        return
    with cell.known.timing("evaluate"):
        written, notes = write_training_samples(cell.run, cell.planned.id, prepared.evaluator.observations)
    cell.known.note(*notes)
    if written is not None:
        cell.known.add(TrainingSamplesRecord(written))


def evaluate(cell: Cell, prepared: Prepared) -> str:
    """Draw samples, write them and the weights, and measure the metrics; return a sign of collapse, if any."""
    known, planned, built, evaluator = cell.known, cell.planned, prepared.built, prepared.evaluator
    points = prepared.data.train_pixels if cell.dataset.points else None
    cell.channel.activity("generating samples")
    with known.timing("evaluate"), prepared.training.save_on_stop(), threads_used(prepared.training.threads):
        drawn = evaluator.draw()
        known.add(
            SamplesRecord(
                sampling={
                    "weights": built.sampled_weights,
                    "batch_norm": f"{built.recipe.sample_statistics} statistics",
                },
                samples_per_second=drawn.per_second,
                evaluations_per_sample=drawn.evaluations or None,
            )
        )
        known.notes += write_samples_and_weights(cell.run, planned.id, drawn, built, points)
        if planned.identity.metrics:
            cell.channel.activity("measuring metrics")
            estimates, unavailable = evaluator.measure(drawn)
            evaluator.record(estimates)
            cell.channel.say(evaluator.measured())
            known.note(*evaluator.notes)
            known.add(EvaluationRecord(estimates, unavailable, evaluator.evaluations, evaluator.best))
            _measure_samplers(cell, evaluator, estimates, unavailable)
            known.notes += write_closest_pairs(cell.run.closest_path(planned.id), evaluator)
        means = None if planned.synthetic_data else evaluator.posterior_means()
        if means is not None:
            known.note(*filter(None, [posterior_collapse(means, built.engine.images_seen)]))
        if not planned.synthetic_data:
            strips = partial(interpolation_strips, built, planned.identity, prepared.data, cell.device)
            known.notes += write_interpolation(cell.run.interpolation_path(planned.id), strips, points)
    return "" if planned.synthetic_data else _collapse(cell, prepared, drawn)


def _measure_samplers(
    cell: Cell, evaluator: Evaluator, estimates: list[Estimate], unavailable: list[Unavailable]
) -> None:
    """Measure the cell with the further samplers of the plan, and add their values to those of its own sampler."""
    speeds: dict[str, float] = {}
    counts: dict[str, float] = {}
    for sampler in cell.planned.samplers:
        cell.channel.activity(f"measuring the sampler {sampler.label}")
        found = evaluator.measure_sampler(sampler)
        estimates, unavailable = [*estimates, *found.estimates], [*unavailable, *found.unavailable]
        speeds |= {} if found.samples_per_second is None else {sampler.label: found.samples_per_second}
        cell.known.add(EvaluationRecord(estimates, unavailable, evaluator.evaluations, evaluator.best))
        counts |= {sampler.label: found.evaluations_per_sample} if found.evaluations_per_sample else {}
        cell.known.add(SamplerSpeedRecord(speeds, counts))


def count(cell: Cell, prepared: Prepared) -> CounterRecord:
    """Count operations and launches and measure energy, in separate passes."""
    known, built = cell.known, prepared.built
    cell.channel.activity("counting operations")
    speed = throughput(prepared.training.windows)
    with known.timing("count"):
        draw = partial(sample, built, cell.planned.identity, prepared.data, cell.device)
        counted = distributed.count_for_all(cell.world, built, draw, cell.device, speed)
    known.add(counted)
    known.notes += counted.notes
    built.engine.data.close()
    return counted


def _prepare(cell: Cell, data: LoadedData) -> Prepared:
    """Build the cell and resume from its checkpoint; a checkpoint that cannot be used is renamed, with a note."""
    id, known = cell.planned.id, cell.known
    resume_path = cell.run.resume_path(id)
    for attempt in (1, 2):
        built = build_cell(cell.planned.identity, cell.catalogue, data, cell.device, known.notes, cell.world)
        engine = built.engine
        evaluator = Evaluator(
            built=built,
            identity=cell.planned.identity,
            data=data,
            catalogue=cell.catalogue,
            device=cell.device,
            best_path=cell.run.best_path(id),
            timing=lambda: known.timing("evaluate_between"),
            observations=Observations(
                cell.planned.identity.image_shape, data.train_pixels if cell.dataset.points else None
            ),
            observes=not cell.planned.synthetic_data,
            show=cell.channel.count,
        )
        training = Training(
            engine=engine,
            evidence=TrainingEvidence(built.setup.networks),
            total_steps=max(1, -(-built.recipe.images // engine.images_per_step)),
            warmup_steps=built.recipe.warmup_steps,
            resume_path=resume_path,
            checkpoint_seconds=cell.job.checkpoint_seconds,
            data_hash=data.hash,
            device=cell.device,
            memory=PeakMemory(cell.device),
            evaluator=evaluator,
            evaluate_every=built.recipe.evaluate_every,
            world=cell.world,
            turn=cell.turn,
        )
        problem = next(filter(None, cell.world.all_gather(_resume(training))), "")
        if not problem:
            break
        if attempt == 2:
            raise ValueError(problem)
        aside = resume_path.with_name(resume_path.name + ".unusable")
        cell.world.main_rank_first(lambda: resume_path.replace(aside) if cell.world.main else None)  # noqa: B023 - called here
        known.notes.append(
            f"the checkpoint of the interrupted training could not be used ({problem}); training started again, and "
            f"the checkpoint was renamed to {aside.name}"
        )
    return Prepared(data, built, training, evaluator)


def _resume(training: Training) -> str:
    """Resume from the checkpoint if there is one; return why it cannot be used, or an empty string."""
    try:
        training.resume()
    except ValueError as error:
        return str(error) or type(error).__name__
    return ""


def _choose_engine(cell: Cell, training: Training) -> None:
    """Choose the engine that the recipe asks for, and record the choice."""
    known, asked, several = cell.known, cell.recipe.engine, cell.world.size > 1
    steps_left = training.total_steps - training.engine.step_number
    before = training.executed_by if training.resumed_at_step is not None else ""
    chosen = (training.memory_format, "used before the interruption") if training.memory_format is not None else None
    step = StepRequest(
        wanted=cell.recipe.step_tuning == "auto",
        known=training.step_options if training.resumed_at_step is not None else cell.job.step_options,
        reason="used before the interruption" if training.resumed_at_step is not None else "those of the stored cell",
        key=step_key(cell.planned.identity),
    )
    engine = choose_engine(
        training.engine,
        "eager" if several else asked,
        steps_left,
        cell.channel.activity,
        before,
        chosen,
        cell.world,
        step,
    )
    if several:
        engine = msgspec.structs.replace(engine, asked=asked, reason="several processes train eagerly")
    training.executed_by = engine.used
    training.step_options = engine.step_tuning.chosen if engine.step_tuning is not None else {}
    known.add(EngineChoiceRecord(engine, with_engine(known.comparability, engine)))
    known.notes += engine_notes(engine, before, training.engine.step_number)
    known.seconds |= {"compile": engine.prepare_seconds, "engine_check": engine.check_seconds}


def _record_training(cell: Cell, prepared: Prepared) -> None:
    """Record the training, however it ended."""
    known, built, training, evaluator = cell.known, prepared.built, prepared.training, prepared.evaluator
    known.notes += training.notes
    if training.stopped_early:
        known.notes.append(
            f"stopped early, after {built.engine.images_seen:,} of {built.recipe.images:,} images: no better "
            f"{built.recipe.best_metric} in {built.recipe.patience} evaluations"
        )
    known.note(*evaluator.notes)
    known.resumed_at_step = training.resumed_at_step
    known.seconds["warmup"] = sum(window.seconds for window in training.windows if window.warmup)
    known.add(
        TrainingRecord(
            steps=built.engine.step_number,
            images=built.engine.images_seen,
            windows=training.windows,
            curves=training.curves,
            throughput=throughput(training.windows),
            stopped_early=training.stopped_early,
            distributed=distributed.describe(cell.world, built, cell.job.start_seconds),
            evaluations=evaluator.evaluations,
            best=evaluator.best,
        )
    )


def _record_interference(known: PartialResult, seen: Surroundings, windows: Sequence[Window]) -> None:
    """Record the interference while the cell trained."""
    known.notes += disturbances(seen, windows)
    known.add(InterferenceRecord(seen, with_interference(known.comparability, seen)))


def _locate(cell: Cell, prepared: Prepared, until_step: int | None = None) -> str:
    """Describe the first bad step; an error in the search must not hide the divergence itself."""
    cell.channel.activity("searching for the first bad step")

    def rebuild() -> Engine:
        engine = _prepare(cell, prepared.data).built.engine
        use_memory_format(engine, prepared.built.memory_format)
        use_options(engine, step_alternatives(prepared.training.threads), prepared.training.step_options)
        return engine

    try:
        last = until_step or prepared.built.engine.step_number
        return locate(rebuild, last, lambda: cell.world.broadcast(time.monotonic))
    except Exception as error:
        return f"the first bad step could not be found ({type(error).__name__}: {error})"


def _collapse(cell: Cell, prepared: Prepared, drawn: Drawn) -> str:
    """Return a sign that the generator has collapsed, or an empty string."""
    dataset, evaluations = cell.dataset, prepared.evaluator.evaluations
    estimates = evaluations[-1].estimates if cell.planned.identity.metrics and evaluations else []
    count = next((round(estimate.value) for estimate in estimates if estimate.metric == "modes"), None)
    modes = None if count is None or dataset.modes is None else (count, dataset.modes)
    images_seen = prepared.built.engine.images_seen
    return signs_of_collapse(drawn, prepared.data, images_seen, pictures=not dataset.points, modes=modes)
