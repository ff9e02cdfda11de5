"""Names of cells: the keys of baselines, and the names that are shown."""

from __future__ import annotations

from genbench.results.schema import PlannedCell


def cell_name(planned: PlannedCell) -> str:
    """Return what a cell is called in baselines: all that is chosen by name, but for the seed."""
    identity = planned.identity
    parts = [identity.model.name, identity.loss.name, identity.dataset.name]
    if planned.variant:
        parts.append(planned.variant)
    precision, engine = str(identity.recipe["precision"]), str(identity.recipe["engine"])
    parts += [part for part in (precision, engine) if part not in ("fp32", "eager")]
    processes = identity.recipe.get("nproc", 1), identity.recipe.get("nnodes", 1)
    parts += [f"{name} {count}" for name, count in zip(("nproc", "nnodes"), processes, strict=True) if count != 1]
    return " · ".join([*parts, *([identity.device] if identity.device != "cpu" else [])])
