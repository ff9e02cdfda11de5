"""The files of a cell in addition to its result: sample grids, samples during training, and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from genbench.cell.evaluator import Evaluator
from genbench.cell.observations import Observations
from genbench.results.schema import TrainingSamples
from genbench.results.store import RunDirectory
from genbench.sampling.sample_grids import CLOSEST, save_sample_grids, write_pairs, write_samples
from genbench.sampling.sampler import Drawn
from genbench.train.builder import Built
from genbench.train.checkpoint import save_weights


def write_samples_and_weights(
    run: RunDirectory, cell: str, drawn: Drawn, built: Built, points: Tensor | None
) -> list[str]:
    """Write sample grids and weights; return notes on what could not be written.

    A full disk, or state that is not a tensor, loses only these files, not the numbers.
    """
    about = {"model": built.model.name, "weights": built.sampled_weights, "cell": cell}
    return [
        *_write(
            "sample grids",
            lambda: save_sample_grids(drawn, run.sample_path(cell), run.reconstruction_path(cell), points),
        ),
        *_write("weights", lambda: save_weights(run.checkpoint_path(cell), built.sampled_networks, about)),
    ]


def write_closest_pairs(path: Path, evaluator: Evaluator) -> list[str]:
    """If memorisation is measured, write samples next to their nearest training images; return notes."""
    pairs = evaluator.closest_pairs(CLOSEST)
    return [] if pairs is None else _write("closest pairs", lambda: write_pairs(path, *pairs))


def write_interpolation(path: Path, strips: Callable[[], Tensor | None], points: Tensor | None) -> list[str]:
    """Write the interpolations that `strips` draws, if it draws any, as a grid or a scatter plot; return notes."""

    def write() -> None:
        pixels = strips()
        if pixels is not None:
            write_samples(path, pixels, points)

    return _write("interpolations", write)


def write_training_samples(
    run: RunDirectory, cell: str, observations: Observations
) -> tuple[TrainingSamples | None, list[str]]:
    """Write the samples of the observations, if there are any; return the record of the file, and notes."""
    written: list[TrainingSamples | None] = [None]

    def write() -> None:
        written[0] = observations.write(run.training_samples_path(cell))

    notes = _write("samples during training", write)
    return written[0], notes


def _write(what: str, write: Callable[[], None]) -> list[str]:
    try:
        write()
    except Exception as error:
        return [f"the {what} could not be written: {getattr(error, 'strerror', None) or error}"]
    return []
