"""What becomes known of a cell while it is executed, and the files that are kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from genbench.cell.comparability import disturbed
from genbench.cell.evaluator import Evaluator
from genbench.cell.training_loop import Training
from genbench.measure.interference import disturbances
from genbench.measure.throughput import throughput
from genbench.results.schema import Surroundings
from genbench.results.store import RunDirectory
from genbench.sampling.sample_grids import CLOSEST, save_sample_grids, write_pairs
from genbench.sampling.sampler import Drawn
from genbench.train.builder import Built
from genbench.train.checkpoint import save_weights


@dataclass
class Draft:
    """What is known of a cell so far; becomes a result at any moment."""

    fields: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    attempt: Callable[[int], None] | None = None  # while it trains: trains for a moment with a batch of that size

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        """Add the seconds that are spent inside to those of the part."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - begin


def record_surroundings(draft: Draft, seen: Surroundings) -> None:
    """Record what else the machine did while the cell trained, and what that disturbs."""
    draft.notes += disturbances(seen)
    draft.fields.update(surroundings=seen, comparability=disturbed(draft.fields["comparability"], seen))


def record_training(draft: Draft, training: Training, built: Built, looks: Evaluator) -> None:
    """Record the course of the training, however it ended."""
    draft.notes += training.notes
    if training.stopped_early:
        draft.notes.append(
            f"stopped early, after {built.engine.images_seen:,} of {built.recipe['images']:,} images: no better "
            f"{built.recipe['best_metric']} in {built.recipe['patience']} evaluations"
        )
    record_looks(draft, looks)
    draft.fields.update(
        resumed_at_step=training.resumed_at_step,
        steps=built.engine.step_number,
        images=built.engine.images_seen,
        windows=training.windows,
        curves=training.curves,
        throughput=throughput(training.windows),
        stopped_early=training.stopped_early,
    )
    draft.seconds["warmup"] = sum(window.seconds for window in training.windows if window.warmup)


def record_looks(draft: Draft, looks: Evaluator) -> None:
    """Record the evaluations so far, and the best of them."""
    draft.notes += [note for note in looks.notes if note not in draft.notes]
    draft.fields.update(evaluations=looks.evaluations, best=looks.best)


def keep_what_was_made(
    draft: Draft, run: RunDirectory, cell: str, drawn: Drawn, built: Built, points: Tensor | None
) -> None:
    """Write pictures and weights; a full disk, or state that is no tensor, costs these files, not the numbers."""
    networks = built.sampled_networks
    about = {"model": built.model.name, "weights": built.sampled_weights, "cell": cell}
    _write(
        draft,
        "pictures",
        lambda: save_sample_grids(drawn, run.sample_path(cell), run.reconstruction_path(cell), points),
    )
    _write(draft, "weights", lambda: save_weights(run.checkpoint_path(cell), networks, about))


def keep_closest_pairs(draft: Draft, path: Path, looks: Evaluator) -> None:
    """Write the picture that belongs to a number of memorisation."""
    pairs = looks.closest_pairs(CLOSEST)
    if pairs is not None:
        _write(draft, "closest pairs", lambda: write_pairs(path, *pairs))


def _write(draft: Draft, what: str, write: Callable[[], None]) -> None:
    try:
        write()
    except Exception as error:
        draft.notes.append(f"the {what} could not be written: {getattr(error, 'strerror', None) or error}")
