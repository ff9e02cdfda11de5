"""Cells that several processes train: how many, what of each batch is theirs, and whether this machine has room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genbench.api.options import OptionValue
from genbench.errors import UsageError
from genbench.results.schema import PlannedCell, Rendezvous

ENGINES = ("eager", "auto")  # that run in several processes


def on_each_machine(recipe: Mapping[str, OptionValue]) -> int:
    """Return how many processes train the cell on each machine."""
    return _whole(recipe, "nproc")


def in_all(recipe: Mapping[str, OptionValue]) -> int:
    """Return how many processes train the cell, on all machines together."""
    return _whole(recipe, "nproc") * _whole(recipe, "nnodes")


def check_shares(recipe: Mapping[str, OptionValue]) -> None:
    """Raise `UsageError` where a batch cannot be divided evenly among the processes."""
    processes, batch = in_all(recipe), recipe["batch_size"]
    assert isinstance(batch, int)
    if batch % processes:
        below, above = batch // processes * processes, -(-batch // processes) * processes
        fitting = f"--batch-size {above}" + (f", or {below}" if below else "")
        raise UsageError(
            f"batch_size {batch} cannot be divided among {processes} processes: it is the batch of all together.",
            f"Use {fitting}.",
        )


def why_not(recipe: Mapping[str, OptionValue]) -> str:
    """Return why this engine cannot run in several processes, or an empty string."""
    if in_all(recipe) > 1 and recipe["engine"] not in ENGINES:
        return f"engine '{recipe['engine']}' runs in one process so far; with --nproc use --engine eager"
    return ""


def require_room(cells: Iterable[PlannedCell], places: int, what: str) -> None:
    """Raise `UsageError` where a possible cell wants more processes than there are places for on this machine.

    Args:
        cells: planned ones.
        places: how many processes this machine has room for.
        what: what each process takes one of, in the plural.
    """
    wanted = max((on_each_machine(cell.identity.recipe) for cell in cells if not cell.reason), default=1)
    if wanted > max(1, places):
        raise UsageError(
            f"--nproc {wanted} needs as many {what}; this machine has {places} to give.",
            f"Use --nproc {places} or less." if places > 1 else "Use --nproc 1.",
        )


def require_rendezvous(cells: Iterable[PlannedCell], rendezvous: Rendezvous | None) -> None:
    """Raise `UsageError` where machines are to train together and do not know where to meet."""
    wanted = max((_whole(cell.identity.recipe, "nnodes") for cell in cells if not cell.reason), default=1)
    if wanted > 1 and rendezvous is None:
        raise UsageError(
            f"--nnodes {wanted} needs a place where the machines find each other.",
            "Start the same command on each, with --rdzv-endpoint HOST:PORT of one of them and the same --rdzv-id.",
        )


def _whole(recipe: Mapping[str, OptionValue], name: str) -> int:
    value = recipe.get(name, 1)  # a plan of an older version has none
    assert isinstance(value, int)
    return value
