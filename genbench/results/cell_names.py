"""Names of cells: the keys of baselines, and the names shown to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence

from genbench.api.options import OptionValue
from genbench.results.identity_settings import options_by_choice
from genbench.results.schema import CellIdentity, PlannedCell

_MISSING = object()
_SELF_EXPLANATORY = ("device", "engine", "image_shape", "precision")  # shown by value alone


def cell_name(planned: PlannedCell, swept: Iterable[str] = ()) -> str:
    """Return the key of a cell in baselines: everything chosen by name except the seed, and the `swept` settings."""
    identity = planned.identity
    parts = [identity.model.name, identity.loss.name, identity.dataset.name]
    if planned.variant:
        parts.append(planned.variant)
    precision, engine = str(identity.recipe["precision"]), str(identity.recipe["engine"])
    parts += [part for part in (precision, engine) if part not in ("fp32", "eager")]
    processes = identity.recipe.get("nproc", 1), identity.recipe.get("nnodes", 1)
    parts += [f"{name} {count}" for name, count in zip(("nproc", "nnodes"), processes, strict=True) if count != 1]
    settings = _settings(identity)
    named = ("precision", "engine", "nproc", "nnodes")
    parts += [_said(name, settings[name]) for name in swept if name in settings and name not in named]
    return " · ".join([*parts, *([identity.device] if identity.device != "cpu" else [])])


def method_name(planned: PlannedCell, swept: Iterable[str] = ()) -> str:
    """Return the name of a cell without its dataset: what is the same on several datasets."""
    return without_dataset(cell_name(planned, swept), planned.identity)


def without_dataset(name: str, identity: CellIdentity) -> str:
    """Return a name that `cell_name` has given, without the dataset."""
    start = f"{identity.model.name} · {identity.loss.name}"
    return start + name.removeprefix(f"{start} · {identity.dataset.name}")


def shown_names(cells: Sequence[PlannedCell]) -> dict[str, str]:
    """Return the names under which people see the cells of one plan, by id; different ids have different names.

    A name consists of model, loss, variant, dataset and seed, and of each setting that differs between cells in which
    these are the same. Cells whose settings all agree get the digest from their id.
    """
    first: dict[tuple[str, ...], dict[str, OptionValue]] = {}  # settings of the first cell with these parts
    differing: set[str] = set()
    settings = [_settings(cell.identity) for cell in cells]
    parts = [_usual_parts(cell) for cell in cells]
    for usual, own in zip(parts, settings, strict=True):
        differing.update(_differing(own, first.setdefault(usual, own), differing))
    names = {
        cell.id: " · ".join([*usual, *(_said(name, value) for name, value in own.items() if name in differing)])
        for cell, usual, own in zip(cells, parts, settings, strict=True)
    }
    counts = Counter(names.values())
    return {id: name if counts[name] == 1 else f"{name} · {id.rpartition('-')[2]}" for id, name in names.items()}


def _usual_parts(cell: PlannedCell) -> tuple[str, ...]:
    identity = cell.identity
    names = (identity.model.name, identity.loss.name, cell.variant, identity.dataset.name, f"seed {identity.seed}")
    return tuple(name for name in names if name)


def _settings(identity: CellIdentity) -> dict[str, OptionValue]:
    shape = "×".join(map(str, identity.image_shape))
    found: dict[str, OptionValue] = {"device": identity.device, "image_shape": shape, "latent_dim": identity.latent_dim}
    return found | options_by_choice(identity) | identity.recipe


def _said(name: str, value: OptionValue) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "none" if value in (None, "") else str(value)
    return text if name in _SELF_EXPLANATORY else f"{name} {text}"


def _differing(own: dict[str, OptionValue], other: dict[str, OptionValue], known: Container[str]) -> list[str]:
    """Return the settings whose texts differ, without those that are known to."""
    names = [name for name, value in own.items() if value is not other.get(name, _MISSING)]
    names += [name for name in other if name not in own]
    return [name for name in names if name not in known and _text(own, name) != _text(other, name)]


def _text(settings: dict[str, OptionValue], name: str) -> str:
    return _said(name, settings[name]) if name in settings else ""
