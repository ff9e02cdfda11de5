"""Evaluating a model during and after training: samples, metrics and the best weights so far, all off the clock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, ExtractorUnavailable, Unavailable, show_nothing
from genbench.api.images import Images
from genbench.api.specs import MetricSpec
from genbench.cell.evaluation_data import evaluation_of
from genbench.cell.observations import Observations
from genbench.cell.sampler_values import measure_sampler
from genbench.data.loading import LoadedData
from genbench.measure.matmul_precision import tf32
from genbench.metrics.diversity import pixel_diversity
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.measuring import measure_each
from genbench.metrics.memorisation import closest_pairs
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.chosen_metrics import ChosenMetric, changed_origins, chosen_metrics
from genbench.plugins.metric_names import declared_estimate, with_extractor
from genbench.process.messages import Measured, SamplerValues
from genbench.process.worker_channel import ShowCount
from genbench.results.schema import Best, CellIdentity, ChosenSampler, EvaluationPoint
from genbench.sampling.likelihood import exact_likelihoods, likelihood_bounds
from genbench.sampling.sampler import Drawn, draw
from genbench.train.builder import Built
from genbench.train.checkpoint import save_weights
from genbench.train.state import random_states_kept

POSTERIOR_IMAGES = 500  # held-out images whose posteriors are judged
OBSERVED_SAMPLES = 64  # drawn at each observation, always from the same latents


class _Evaluations(msgspec.Struct, frozen=True):
    """The evaluations in a checkpoint."""

    evaluations: list[EvaluationPoint]
    best: Best | None
    without_better: int


@dataclass
class Evaluator:
    """Evaluates a cell's model during and after training (a `genbench.cell.training_loop.TrainingEvaluator`).

    It keeps all evaluations and the best one so far; if the recipe names a `best_metric`, it also keeps the best
    weights, in `best_path`.
    """

    built: Built
    identity: CellIdentity
    data: LoadedData
    catalogue: Catalogue
    device: torch.device
    best_path: Path
    timing: Callable[[], Any]  # a context that counts the seconds of an evaluation
    observations: Observations
    observes: bool = True  # whether samples are drawn during training
    show: ShowCount = show_nothing  # learns how far an evaluation has come
    evaluations: list[EvaluationPoint] = field(default_factory=list)
    best: Best | None = None
    without_better: int = 0  # evaluations since the best one
    notes: list[str] = field(default_factory=list)
    _data_diversity: float | None = None
    _evaluation: CellEvaluation | None = None
    _full_names: dict[str, str] = field(default_factory=dict)  # planned name of a metric or estimate -> its full name

    def draw(self) -> Drawn:
        """Draw the samples for the metrics."""
        return draw(self.built, self.identity, self.data, self.device, self.built.recipe.samples, show=self.show)

    def measure_sampler(self, chosen: ChosenSampler) -> SamplerValues:
        """Draw with another sampler and measure the planned metrics of samples."""
        model = self.built, self.identity, self.data, self.device
        return measure_sampler(*model, chosen, self._metrics(), self._evaluated, self._known(), self.show)

    def measure(self, drawn: Drawn) -> tuple[list[Estimate], list[Unavailable]]:
        """Measure the planned metrics; what they need about the training data is computed only once."""
        model = self.built, self.data, self.identity.seed, self.device
        self._evaluation = self._evaluated(drawn.samples).with_samples(
            drawn.samples, drawn.reconstructions, likelihood_bounds(*model), exact_likelihoods(*model)
        )
        metrics = self._metrics()
        self._note_changed_plugins()
        with tf32(False):  # metrics do not depend on the precision of training
            reconstructs = self.built.family_spec.reconstructs
            results = measure_each(metrics, self._evaluation, reconstructs, self._known(), self.show)
        alone = {name: each[0] for name, each in results if len(each) == 1}
        self._full_names = {name: found.metric for name, found in alone.items()}
        specs = {chosen.spec.name: chosen.spec for chosen in metrics}
        for name, each in results:
            if specs[name].estimates:
                self._full_names |= {declared_estimate(specs[name], found.metric): found.metric for found in each}
        everything = [found for _, each in results for found in each]
        return (
            [found for found in everything if isinstance(found, Estimate)],
            [found for found in everything if isinstance(found, Unavailable)],
        )

    def _metrics(self) -> list[ChosenMetric]:
        """Return the planned metrics."""
        identity = self.identity
        return chosen_metrics(identity.metrics, self.catalogue, identity.metric_options, identity.metric_origins)

    def _known(self) -> list[MetricSpec]:
        """Return all metrics there are, whose names no other metric may use."""
        return [entry.spec for entry in self.catalogue.metrics.values()]

    def _evaluated(self, samples: Images) -> CellEvaluation:
        """Return the evaluation with these samples alone; what was computed from the data stays loaded."""
        if self._evaluation is None:
            identity = self.identity
            self._evaluation = evaluation_of(
                samples, self.data, identity.dataset.name, self.catalogue, self.device, identity.seed, self.show
            )
        return self._evaluation.with_samples(samples)

    def _note_changed_plugins(self) -> None:
        """Note each plugin of a metric that is not of the version with which the cell was planned."""
        for name, before, now in changed_origins(self.identity.metric_origins, self.catalogue):
            note = (
                f"the metric '{name}' was planned with {before.distribution} {before.version} and measured with "
                f"{now.distribution} {now.version}: its values are not comparable with those of the planned version"
            )
            if note not in self.notes:
                self.notes.append(note)

    def closest_pairs(self, count: int) -> tuple[Tensor, Tensor] | None:
        """Return the samples of the last `measure` that are nearest to training images, and those images: uint8 pixels.

        Uses the first available extractor whose memorisation metrics are planned; None if there is none.
        """
        if self._evaluation is None:
            return None
        for name, entry in self.catalogue.extractors.items():
            if with_extractor("memorisation", name, entry.spec.metric) in self.identity.metrics:
                try:
                    samples, train = closest_pairs(self._evaluation, name, count)
                except (ExtractorUnavailable, ValueError):
                    continue  # the metric reports the reason
                pixels = torch.as_tensor(self._evaluation.samples.pixels)
                return pixels[samples], torch.as_tensor(self.data.train_pixels)[train]
        return None

    def posterior_means(self) -> Tensor | None:
        """Return the posterior means of a few hundred held-out images; None if the model has no posterior."""
        try:
            bounds = likelihood_bounds(self.built, self.data, self.identity.seed, self.device)
            return None if bounds is None else bounds[1](1, POSTERIOR_IMAGES).mean
        except Exception:  # of a plugin's family; the metrics of the bound report it
            return None

    def observe(self) -> dict[str, float | None]:
        """Draw a few samples, keep them, and return their diversity relative to that of the data, for the curves."""
        if not self.observes:
            return {}
        if self._data_diversity is None:
            self._data_diversity = pixel_diversity(self.data.train_pixels)
        if not self._data_diversity:
            return {}
        return {"diversity": pixel_diversity(self._observed()) / self._data_diversity}

    def observe_end(self) -> None:
        """Draw and keep samples before the first step or after the last one, unless those of this step are kept.

        Nothing depends on them: the random states stay as they are, and what cannot be drawn is no error here.
        """
        if not self.observes or self.observations.has(self.built.engine.step_number):
            return
        with random_states_kept(), contextlib.suppress(Exception):  # a real failure shows in training and evaluation
            self._observed()

    def _observed(self) -> Tensor:
        """Draw and keep the samples of an observation; return their pixels."""
        engine = self.built.engine
        with self.timing():
            drawn = draw(self.built, self.identity, self.data, self.device, OBSERVED_SAMPLES, reconstruct=False)
            pixels = torch.as_tensor(drawn.samples.pixels)
            self.observations.add(engine.step_number, engine.images_seen, pixels)
        return pixels

    def evaluate(self) -> bool:
        """Measure the model, keep its weights if it is the best so far, and return whether patience has run out."""
        with self.timing():
            drawn = self.draw()
            estimates, _ = self.measure(drawn)
            self.record(estimates)
        return 0 < self.built.recipe.patience <= self.without_better

    def record(self, estimates: list[Estimate]) -> None:
        """Record an evaluation of the current weights, and keep it if it is the best so far."""
        engine, metric = self.built.engine, self.built.recipe.best_metric
        step, images = engine.step_number, engine.images_seen
        if self.evaluations and self.evaluations[-1].step == step:
            return  # training ended with an evaluation, which is the final one
        self.evaluations.append(EvaluationPoint(step=step, images=images, estimates=estimates))
        if not metric:
            return
        metric = self._full_names.get(metric, metric)
        found = next((estimate for estimate in estimates if estimate.metric == metric), None)
        if found is None or (self.best is not None and not _is_better(found, self.best)):
            self.without_better += 1
            return
        self.without_better = 0
        self.best = Best(metric=metric, step=step, images=images, estimates=estimates)
        about = {
            "model": self.built.model.name,
            "weights": self.built.sampled_weights,
            "cell": self.best_path.name.partition(".best")[0],
            "step": str(step),
        }
        try:
            save_weights(self.best_path, self.built.sampled_networks, about)
        except OSError as error:  # a full disk loses the file, not the training
            note = f"the best weights could not be written: {error.strerror or error}"
            if note not in self.notes:
                self.notes.append(note)

    def measured(self) -> Measured:
        """Return the latest evaluation, for reporters."""
        last = self.evaluations[-1]
        return Measured(last.step, last.images, [estimate for estimate in last.estimates if estimate.finite])

    def state(self) -> dict[str, Any]:
        """Return the evaluations so far, for a checkpoint."""
        return {"evaluations": self.evaluations, "best": self.best, "without_better": self.without_better}

    def tensors(self) -> dict[str, Tensor]:
        """Return the samples of the observations so far, for a checkpoint."""
        return self.observations.state()

    def load_state(self, notes: Any, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` and `tensors` returned; raise ValueError if the former is not valid."""
        if not isinstance(notes, dict):
            raise ValueError("it contains no evaluations")
        noted = msgspec.convert(notes, _Evaluations)
        last, best = self.built.engine.step_number, noted.best
        points: list[EvaluationPoint | Best] = [*noted.evaluations, *([best] if best is not None else [])]
        if noted.without_better < 0 or any(not 0 <= point.step <= last or point.images < 0 for point in points):
            raise ValueError("it contains evaluations after its last step, or a negative number")
        if best is not None and all(estimate.metric != best.metric for estimate in best.estimates):
            raise ValueError("its best evaluation has no value of the metric that selected it")
        self.evaluations, self.best, self.without_better = noted.evaluations, best, noted.without_better
        self.observations.load_state(tensors, last)


def _is_better(found: Estimate, best: Best) -> bool:
    previous = next(estimate for estimate in best.estimates if estimate.metric == best.metric)
    return found.value < previous.value if found.direction == "lower" else found.value > previous.value
