"""Looking at a model while it trains, and at its end: samples, metrics, the best weights so far; all off the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, ExtractorUnavailable, Unavailable
from genbench.api.specs import DatasetSpec
from genbench.data.loading import LoadedData
from genbench.measure.matmul_precision import tf32
from genbench.metrics.diversity import pixel_diversity
from genbench.metrics.evaluation import CellEvaluation, measure_each
from genbench.metrics.memorisation import closest_pairs
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.feature_metrics import PREFIXES
from genbench.process.messages import Measured
from genbench.results.schema import Best, CellIdentity, EvaluationPoint
from genbench.sampling.likelihood import likelihood_bounds
from genbench.sampling.sampler import Drawn, draw
from genbench.train.builder import Built
from genbench.train.checkpoint import save_weights

OBSERVED_SAMPLES = 64  # drawn for the curve of diversity


@dataclass
class Evaluator:
    """Evaluates a cell's model at checkpoints of its training (see `genbench.cell.training_loop.Checkpoints`).

    `estimates` of the last call of `measure` and the best evaluation so far are kept; so are the best weights, in
    `best_path`, where the recipe names a `best_metric`.
    """

    built: Built
    identity: CellIdentity
    data: LoadedData
    catalogue: Catalogue
    device: torch.device
    best_path: Path
    timing: Callable[[], Any]  # a context that counts the seconds of an evaluation
    observes: bool = True  # whether samples are drawn for the curves
    evaluations: list[EvaluationPoint] = field(default_factory=list)
    best: Best | None = None
    without_better: int = 0
    notes: list[str] = field(default_factory=list)
    _data_diversity: float | None = None
    _evaluation: CellEvaluation | None = None
    _earned: dict[str, str] = field(default_factory=dict)  # by the names of the plan, those that the numbers bear

    def draw(self) -> Drawn:
        """Draw the samples that the metrics see."""
        return draw(self.built, self.identity, self.data, self.device, self.built.recipe.samples)

    def measure(self, drawn: Drawn) -> tuple[list[Estimate], list[Unavailable]]:
        """Ask the metrics of the plan; what they know of the training data is computed once."""
        bounds = likelihood_bounds(self.built, self.data, self.identity.seed, self.device)
        if self._evaluation is None:
            self._evaluation = self._new_evaluation(drawn)
        self._evaluation = self._evaluation.with_samples(drawn.samples, drawn.reconstructions, bounds)
        specs = [self.catalogue.metrics[name].spec for name in self.identity.metrics]
        with tf32(False):  # a metric is the same whatever its model was trained in
            results = measure_each(specs, self._evaluation, self.built.family_spec.reconstructs)
        alone = {name: each[0] for name, each in results if len(each) == 1}
        self._earned = {name: found.metric for name, found in alone.items()}
        everything = [found for _, each in results for found in each]
        return (
            [found for found in everything if isinstance(found, Estimate)],
            [found for found in everything if isinstance(found, Unavailable)],
        )

    def closest_pairs(self, count: int) -> tuple[Tensor, Tensor] | None:
        """Return those samples of the last `measure` that lie nearest to training images, and these: uint8 pixels.

        None unless the plan asks for memorisation; by the features of the first extractor it names that can be had.
        """
        if self._evaluation is None:
            return None
        memorisation = PREFIXES["memorisation"]
        for name, entry in self.catalogue.extractors.items():
            if memorisation.name(entry.spec) in self.identity.metrics:
                try:
                    samples, train = closest_pairs(self._evaluation, name, count)
                except (ExtractorUnavailable, ValueError):
                    continue  # the metric says why
                pixels = torch.as_tensor(self._evaluation.samples.pixels)
                return pixels[samples], torch.as_tensor(self.data.train_pixels)[train]
        return None

    def observe(self) -> dict[str, float | None]:
        """Return the diversity of a few samples beside that of the data, for the curves."""
        if not self.observes:
            return {}
        if self._data_diversity is None:
            self._data_diversity = pixel_diversity(self.data.train_pixels)
        if not self._data_diversity:
            return {}
        with self.timing():
            drawn = draw(self.built, self.identity, self.data, self.device, OBSERVED_SAMPLES, reconstruct=False)
        return {"diversity": pixel_diversity(drawn.samples.pixels) / self._data_diversity}

    def evaluate(self) -> bool:
        """Measure the model, keep its weights if it is the best so far, and return whether patience has run out."""
        with self.timing():
            drawn = self.draw()
            estimates, _ = self.measure(drawn)
            self.record(estimates)
        return 0 < self.built.recipe.patience <= self.without_better

    def record(self, estimates: list[Estimate]) -> None:
        """Note an evaluation of the weights as they are now; the better one of two becomes the best."""
        engine, metric = self.built.engine, self.built.recipe.best_metric
        step, images = engine.step_number, engine.images_seen
        if self.evaluations and self.evaluations[-1].step == step:
            return  # training stopped at an evaluation: the final one is the same
        self.evaluations.append(EvaluationPoint(step=step, images=images, estimates=estimates))
        if not metric:
            return
        metric = self._earned.get(metric, metric)
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
        except OSError as error:  # a full disk costs the file, not the training
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

    def load_state(self, notes: Any) -> None:
        """Go on where `state` was taken; raise ValueError where it cannot be read."""
        if not isinstance(notes, dict):
            raise ValueError("it knows nothing of evaluations")
        self.evaluations = msgspec.convert(notes["evaluations"], list[EvaluationPoint])
        self.best = msgspec.convert(notes["best"], Best | None)
        self.without_better = int(notes["without_better"])

    def _new_evaluation(self, drawn: Drawn) -> CellEvaluation:
        dataset: DatasetSpec = self.catalogue.require("datasets", self.identity.dataset.name).spec
        return CellEvaluation(
            samples=drawn.samples,
            train=self.data.train,
            test=self.data.test,
            reconstructions=drawn.reconstructions,
            device=self.device,
            seed=self.identity.seed,
            extractors={name: entry.spec for name, entry in self.catalogue.extractors.items()},
            mode_of=dataset.mode_of,
            factors=self.data.factors,
            data=self.data.for_extractors(dataset.name),
        )


def _is_better(found: Estimate, best: Best) -> bool:
    held = next(estimate for estimate in best.estimates if estimate.metric == best.metric)
    return found.value < held.value if found.direction == "lower" else found.value > held.value
