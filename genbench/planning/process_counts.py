"""Cells trained by several processes: whether the batch can be divided, and whether the machines are sufficient."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.errors import UsageError
from genbench.results.schema import PlannedCell, Rendezvous


def require_divisible_batch(recipe: Recipe) -> None:
    """Raise `UsageError` if the batch cannot be divided evenly among the processes."""
    processes, batch = recipe.processes, recipe.batch_size
    if batch % processes:
        below, above = batch // processes * processes, -(-batch // processes) * processes
        fitting = f"--batch-size {above}" + (f", or {below}" if below else "")
        raise UsageError(
            f"batch_size {batch} cannot be divided among {processes} processes: it is the total over all of them.",
            f"Use {fitting}.",
            code="GB509",
        )


def require_process_count(cells: Iterable[PlannedCell], available: int, resource: str) -> None:
    """Raise `UsageError` if a possible cell needs more processes than this machine can run.

    Args:
        cells: the planned cells.
        available: number of processes that this machine can run.
        resource: what each process needs one of, in the plural.
    """
    wanted = largest_process_count(cells)
    if wanted > max(1, available):
        raise UsageError(
            f"--nproc {wanted} needs as many {resource}; this machine has {available}.",
            f"Use --nproc {available} or less." if available > 1 else "Use --nproc 1.",
            code="GB402",
        )


def largest_process_count(cells: Iterable[PlannedCell]) -> int:
    """Return the largest number of processes that a possible cell needs on one machine."""
    return max((recipe.nproc for recipe in _possible_recipes(cells)), default=1)


def require_rendezvous(cells: Iterable[PlannedCell], rendezvous: Rendezvous | None) -> None:
    """Raise `UsageError` if a possible cell needs several machines but no rendezvous is given."""
    wanted = max((recipe.nnodes for recipe in _possible_recipes(cells)), default=1)
    if wanted > 1 and rendezvous is None:
        raise UsageError(
            f"--nnodes {wanted} needs a rendezvous, by which the machines find each other.",
            "Start the same command on each, with --rdzv-endpoint HOST:PORT of one of them and the same --rdzv-id.",
            code="GB406",
        )


def _possible_recipes(cells: Iterable[PlannedCell]) -> list[Recipe]:
    """Return the recipes of the cells that can be executed."""
    return [resolve_recipe(cell.identity.recipe) for cell in cells if not cell.reason]
