"""`genbench.sample`: images from a trained cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genbench.commands.arguments import PluginSource, plugin_paths
from genbench.commands.cell import Cell
from genbench.commands.device import select_present_device
from genbench.errors import UsageError
from genbench.plugins.recorded_files import Allowed
from genbench.results.store import RunDirectory
from genbench.sampling.checkpoint_model import TrainedModel, load_trained
from genbench.sampling.generate import (
    generate,
    make_labels,
    parse_class,
    require_reconstruction,
    require_sampler,
)
from genbench.sampling.generate import interpolate as interpolate_between
from genbench.sampling.generate import reconstruct as reconstruct_images
from genbench.sampling.image_io import Destination, parse_destination, read_image_folder, write_images

if TYPE_CHECKING:
    import numpy
    from torch import Tensor

COUNT = 64  # default number of images
STRIP, ANIMATION = 8, 30  # default number of images of an interpolation
_SEEDS = 2**31


class _Drawn(NamedTuple):
    """Images as tensors on the CPU, and what their files need."""

    trained: TrainedModel
    pixels: Tensor  # uint8 (N, channels, height, width)
    labels: Tensor | None = None
    originals: Tensor | None = None
    columns: int | None = None  # of the grid of an interpolation
    skipped: Sequence[str] = ()

    def write(self, destination: Destination) -> None:
        """Write the images."""
        write_images(destination, self.trained, self.pixels, self.labels, self.originals, self.columns)


@dataclass(frozen=True, eq=False)
class Samples:
    """Images that a trained cell generated or reconstructed."""

    images: numpy.ndarray  # uint8 (N, height, width, channels)
    labels: numpy.ndarray | None  # int64 (N,), of generated images of a conditional model
    originals: numpy.ndarray | None  # what was reconstructed, like `images`; None for generated images
    notes: tuple[str, ...]  # what to know about these weights
    skipped: tuple[str, ...]  # files that could not be read, with the reason
    path: Path | None  # what `out` named
    _drawn: _Drawn

    def __repr__(self) -> str:
        return f"<Samples: {len(self.images)} images>"

    def save(self, path: str | Path) -> Path:
        """Write a grid (.png), arrays (.npz), an animated interpolation (.gif) or a folder of PNG files (no suffix).

        Returns the path. Raises `UsageError` where such images cannot be written in this form, or not there.
        """
        destination = parse_destination(str(path), animated=self._drawn.columns is not None)
        self._drawn.write(destination)
        return destination.path


def sample(
    cell: Cell | str,
    count: int | None = None,
    *,
    run: str | Path | None = None,
    seed: int | None = None,
    label: str | int | None = None,
    truncate: float | None = None,
    sampler: str | None = None,
    interpolate: str | tuple[int, int] | None = None,
    steps: int | None = None,
    reconstruct: str | Path | None = None,
    best: bool = False,
    plugins: PluginSource | Sequence[PluginSource] = (),
    trust_plugins: bool = False,
    device: str = "cpu",
    out: str | Path | None = None,
) -> Samples:
    """Draw images from a trained cell; the same seed gives the same images.

    The networks are rebuilt in this process, which imports torch and the plugins that the cell needs. Raises
    `NoDataError` where the cell has no weights, and `UsageError` for what its model cannot do.

    Args:
        cell: a cell of `genbench.load`; or with `run`, its id or any unambiguous part of it.
        count: number of images; by default 64.
        run: the run directory, where `cell` is a text.
        seed: of the latents; by default 0.
        label: name or number of a class, for a conditional model; by default all in turn, or the first for an
            interpolation.
        truncate: truncate a normal prior at ± this value, or scale a uniform prior by it.
        sampler: draw with this sampler of the model's family, as ``"ddim:steps=10"``.
        interpolate: two seeds to interpolate between, as ``(3, 8)`` or ``"3:8"``, instead of sampling.
        steps: number of images of an interpolation; by default 8, or 30 for a ``.gif``.
        reconstruct: a folder, of which the first `count` images are reconstructed instead.
        best: use the weights of the best evaluation instead of the last.
        plugins: plugin files, or imported modules with a file of their own, in place of those of the run.
        trust_plugins: load the plugin files that the run directory names, whoever made it: their code runs.
        device: ``cpu``, ``cuda``, ``cuda:1``, …, ``mps``, ``xpu`` or ``auto``.
        out: also write the images here, as `Samples.save` does.
    """
    given = {
        "--seed": seed, "--count": count, "--truncate": truncate, "--interpolate": interpolate, "--steps": steps,
        "--reconstruct": reconstruct, "--sampler": sampler,
    }  # fmt: skip
    _forbid_combination(given, "--interpolate", ("--seed", "--count", "--reconstruct", "--sampler"))
    _forbid_combination(given, "--reconstruct", ("--seed", "--truncate", "--sampler"))
    _forbid_combination(given, "--sampler", ("--truncate",))
    if steps is not None and interpolate is None:
        raise UsageError("--steps needs --interpolate A:B.", "Add --interpolate, or remove --steps.", code="GB606")
    _require_numbers(count, seed, steps)
    seeds = None if interpolate is None else _parse_seeds(interpolate)
    destination = None if out is None else parse_destination(str(out), animated=seeds is not None)
    trained = _trained(cell, run, device, best, Allowed(plugin_paths(plugins), trust_plugins))
    chosen = None if label is None else parse_class(trained, str(label))
    if seeds is not None:
        animated = destination is not None and destination.form == "animation"
        drawn = _interpolated(trained, seeds, steps or (ANIMATION if animated else STRIP), chosen, truncate)
    elif reconstruct is not None:
        drawn = _reconstructed(trained, str(reconstruct), count or COUNT, chosen)
    else:
        drawn = _generated(trained, count or COUNT, seed or 0, chosen, truncate, sampler)
    if destination is not None:
        drawn.write(destination)
    return Samples(
        images=_channels_last(drawn.pixels),
        labels=None if drawn.labels is None else drawn.labels.numpy(),
        originals=None if drawn.originals is None else _channels_last(drawn.originals),
        notes=trained.notes,
        skipped=tuple(drawn.skipped),
        path=None if destination is None else destination.path,
        _drawn=drawn,
    )


def _trained(cell: Cell | str, run: str | Path | None, device: str, best: bool, allowed: Allowed) -> TrainedModel:
    if isinstance(cell, Cell):
        return load_trained(cell.directory, cell.outcome.planned, select_present_device(device), best, allowed)
    if run is None:
        raise UsageError(
            f"The run of the cell '{cell}' is not given.", "Pass run=, or a cell of genbench.load.", code="GB705"
        )
    directory = RunDirectory.open_unpacked(run)
    return load_trained(directory, directory.find_cell(cell), select_present_device(device), best, allowed)


def _interpolated(
    trained: TrainedModel, seeds: tuple[int, int], steps: int, label: int | None, psi: float | None
) -> _Drawn:
    one = label if label is not None or not trained.classes else 0
    return _Drawn(trained, interpolate_between(trained, *seeds, steps, one, psi), columns=steps)


def _reconstructed(trained: TrainedModel, folder: str, count: int, label: int | None) -> _Drawn:
    require_reconstruction(trained)
    if trained.classes and label is None:
        raise UsageError(
            f"Model '{trained.model.name}' is conditional: it needs the class of the images.",
            f"Add --class with a number from 0 to {trained.classes - 1} or the name of a class.",
            code="GB606",
        )
    pixels, problems = read_image_folder(folder, trained, count)
    again = reconstruct_images(trained, pixels, make_labels(trained, label, len(pixels)))
    return _Drawn(trained, again, originals=pixels, skipped=problems)


def _generated(
    trained: TrainedModel, count: int, seed: int, label: int | None, psi: float | None, sampler: str | None
) -> _Drawn:
    drawn_by = None if sampler is None else require_sampler(trained, sampler)
    pixels = generate(trained, count, seed, label, psi, drawn_by)
    return _Drawn(trained, pixels, make_labels(trained, label, count))


def _channels_last(pixels: Tensor) -> numpy.ndarray:
    return pixels.permute(0, 2, 3, 1).numpy()


def _forbid_combination(given: Mapping[str, object], one: str, others: tuple[str, ...]) -> None:
    if given[one] is None:
        return
    for other in others:
        if given[other] is not None:
            raise UsageError(f"{one} and {other} cannot be combined.", "Remove one of them.", code="GB606")


def _require_numbers(count: int | None, seed: int | None, steps: int | None) -> None:
    for name, value, lowest in (("count", count, 1), ("seed", seed, 0), ("steps", steps, 2)):
        if value is not None and (not isinstance(value, int) or not lowest <= value < _SEEDS):
            raise UsageError(f"{name} = {value!r} is not valid.", f"It is a whole number, at least {lowest}.")


def _parse_seeds(given: str | tuple[int, int]) -> tuple[int, int]:
    text = given if isinstance(given, str) else ":".join(map(str, given))
    first, colon, last = text.partition(":")
    numbers = [int(part) if part.isascii() and part.isdigit() else _SEEDS for part in (first, last)]
    if not colon or max(numbers) >= _SEEDS:
        raise UsageError(f"Cannot read --interpolate {text}.", "Write two seeds, such as --interpolate 3:8.")
    return numbers[0], numbers[1]
