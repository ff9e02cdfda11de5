"""The files of a cell in addition to its result: sample grids and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from genbench.cell.evaluator import Evaluator
from genbench.results.store import RunDirectory
from genbench.sampling.sample_grids import CLOSEST, save_sample_grids, write_pairs
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


def _write(what: str, write: Callable[[], None]) -> list[str]:
    try:
        write()
    except Exception as error:
        return [f"the {what} could not be written: {getattr(error, 'strerror', None) or error}"]
    return []
