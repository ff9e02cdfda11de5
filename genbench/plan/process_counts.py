"""Cells that several processes train: how many, what of each batch is theirs, and whether this machine has room."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.errors import UsageError
from genbench.results.schema import PlannedCell, Rendezvous


def check_shares(recipe: Recipe) -> None:
    """Raise `UsageError` where a batch cannot be divided evenly among the processes."""
    processes, batch = recipe.processes, recipe.batch_size
    if batch % processes:
        below, above = batch // processes * processes, -(-batch // processes) * processes
        fitting = f"--batch-size {above}" + (f", or {below}" if below else "")
        raise UsageError(
            f"batch_size {batch} cannot be divided among {processes} processes: it is the batch of all together.",
            f"Use {fitting}.",
        )


def require_room(cells: Iterable[PlannedCell], places: int, what: str) -> None:
    """Raise `UsageError` where a possible cell wants more processes than there are places for on this machine.

    Args:
        cells: planned ones.
        places: how many processes this machine has room for.
        what: what each process takes one of, in the plural.
    """
    wanted = max((recipe.nproc for recipe in _possible(cells)), default=1)
    if wanted > max(1, places):
        raise UsageError(
            f"--nproc {wanted} needs as many {what}; this machine has {places} to give.",
            f"Use --nproc {places} or less." if places > 1 else "Use --nproc 1.",
        )


def require_rendezvous(cells: Iterable[PlannedCell], rendezvous: Rendezvous | None) -> None:
    """Raise `UsageError` where machines are to train together and do not know where to meet."""
    wanted = max((recipe.nnodes for recipe in _possible(cells)), default=1)
    if wanted > 1 and rendezvous is None:
        raise UsageError(
            f"--nnodes {wanted} needs a place where the machines find each other.",
            "Start the same command on each, with --rdzv-endpoint HOST:PORT of one of them and the same --rdzv-id.",
        )


def _possible(cells: Iterable[PlannedCell]) -> list[Recipe]:
    """Return the recipes of the cells that can be executed."""
    return [resolve_recipe(cell.identity.recipe) for cell in cells if not cell.reason]
