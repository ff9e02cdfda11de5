"""The settings behind each row: those that all rows share go into the caption, those that differ become columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA
from genbench.report.numbers import MISSING, count
from genbench.results.identity_settings import options_by_choice
from genbench.results.schema import CellResult, PlannedCell, RunRecord

# What a reader must know about any number, in the order of the caption, with its wording there. Recipe fields whose
# shared value is not the default follow. Any other setting is shown only if it distinguishes two rows of the same
# model, loss and dataset.
CAPTION = {
    "loss": "{}",
    "variant": "{}",
    "dataset": "{}",
    "image shape": "{}",
    "device": "{}",
    "machine": "{}",
    "cores": "{} cores",
    "threads": "{} threads",
    "nproc": "{} processes",
    "accelerator": "{}",
    "driver": "driver {}",
    "precision": "{}",
    "engine": "{}",
    "batch_size": "batch {}",
    "discriminator_steps": "D:G steps {}:1",
    "images": "{} images",
    "samples": "{} samples",
    "input": "{} input",
    "torch": "torch {}",
    "python": "Python {}",
    "genbench": "genbench {}",
    "seed": "seed {}",
}
_MEASURING = ("warmup_steps", "energy_seconds")  # how a cell is measured, not how it is trained
_DEFAULTS = {option.name: option.default for option in RECIPE_SCHEMA}
_COUNTS = ("images", "samples", "steps", "evaluate_every")
SYNTHETIC = "synthetic: speed only"


@dataclass(frozen=True)
class Settings:
    """How the settings of the rows are divided."""

    shared: dict[str, OptionValue]  # the same in every row that has it
    varying: tuple[str, ...]  # names of those that differ, in the order of the columns
    implied: tuple[str, ...] = ()  # recipe fields and options that differ, but follow from the variant


def row_settings(run: str, record: RunRecord, cell: PlannedCell, result: CellResult | None) -> dict[str, OptionValue]:
    """Return every setting of a cell by name; what only execution reveals is missing until then."""
    identity = cell.identity
    dataset = identity.dataset.name
    if cell.synthetic_data or (result is not None and result.synthetic_data):
        dataset = SYNTHETIC if dataset == "synthetic" else f"{dataset} ({SYNTHETIC})"
    found: dict[str, OptionValue] = {
        "run": run,
        "model": identity.model.name,
        "loss": identity.loss.name,
        "variant": cell.variant,
        "dataset": dataset,
        "image shape": "×".join(map(str, identity.image_shape)),
        "device": identity.device,
        "seed": identity.seed,
        "latent_dim": identity.latent_dim,
        "genbench": identity.genbench,
        "profile": record.profile,
    }
    unused = result.unused_settings if result is not None else ()
    found |= {name: value for name, value in identity.recipe.items() if name not in found and name not in unused}
    found |= options_by_choice(identity)
    for choice in (identity.model, identity.loss, identity.dataset, identity.family):
        found[f"{choice.name} plugin"] = f"{choice.origin.distribution} {choice.origin.version}"
    if result is not None and result.comparability is not None:
        measured = result.comparability
        found |= {name: getattr(measured, name) for name in ("machine", "accelerator", "driver", "torch", "python")}
        found |= {"cores": float(measured.cores), "threads": measured.threads}
        found |= {"precision": measured.precision, "engine": measured.engine}  # as used, not as requested
    return {name: value for name, value in found.items() if value not in ("", None)}


def divide(rows: Sequence[Mapping[str, OptionValue]], swept: Iterable[str] = ()) -> Settings:
    """Divide the settings of all rows into those they share and those that become columns, such as `swept` ones."""
    names = list(dict.fromkeys([*CAPTION, *(name for row in rows for name in row)]))
    named = {"variant"} if any("variant" in row for row in rows) else set()  # a column even if all are the same
    varying = [name for name in names if name in named or _differs(name, rows)]
    implied = _implied_by_variants(rows) if named else ()
    wanted = {*CAPTION, *swept}
    always = {name for name in varying if name in wanted and name not in implied}
    peers: dict[tuple[str, ...], list[Mapping[str, OptionValue]]] = {}
    for row in rows:
        key = tuple(str(row.get(name)) for name in ("model", *sorted(always)))
        peers.setdefault(key, []).append(row)
    # Rows that still look alike are distinguished by everything else in which they differ.
    also = {name for alike in peers.values() if len(alike) > 1 for name in varying if _differs(name, alike)}
    chosen = [name for name in varying if name in always | also and name not in ("run", "model")]
    shared = {name: value for row in rows for name, value in row.items() if name not in (*varying, *implied)}
    return Settings(shared, tuple(chosen), implied)


def caption(shared: Mapping[str, OptionValue]) -> str:
    """Return what all rows share in one line."""
    parts = [
        template.format(setting_text(name, shared[name]))
        for name, template in CAPTION.items()
        if name in shared and not (name == "nproc" and shared[name] == _DEFAULTS[name])
    ]
    parts += [
        f"{name} = {setting_text(name, shared[name])}"
        for name, default in _DEFAULTS.items()
        if name in shared and name not in (*CAPTION, *_MEASURING) and shared[name] != default
    ]
    return " · ".join(parts)


def setting_text(name: str, value: OptionValue) -> str:
    """Return a setting's value for a reader."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _COUNTS and isinstance(value, int | float):
        return count(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(setting_text(name, item) for item in value)
    return str(value)


def _implied_by_variants(rows: Sequence[Mapping[str, OptionValue]]) -> tuple[str, ...]:
    """Return what follows from model, loss, dataset and variant, but not from the first three alone.

    A field that is missing from a row is empty there: `row_settings` leaves empty values out.
    """
    peers: dict[tuple[str, ...], dict[str, list[Mapping[str, OptionValue]]]] = {}
    for row in rows:
        key = tuple(str(row.get(name)) for name in ("model", "loss", "dataset"))
        peers.setdefault(key, {}).setdefault(str(row.get("variant", "")), []).append(row)
    options = dict.fromkeys(name for row in rows for name in row if "." in name and not name.endswith(" plugin"))
    implied = []
    for name in (*RECIPE_FIELDS, "latent_dim", *options):
        seen = [[{repr(row.get(name)) for row in alike} for alike in variants.values()] for variants in peers.values()]
        follows = all(len(values) == 1 for variants in seen for values in variants)
        if follows and any(len(set().union(*variants)) > 1 for variants in seen):
            implied.append(name)
    return tuple(implied)


def _differs(name: str, rows: Sequence[Mapping[str, OptionValue]]) -> bool:
    # A row without a recipe field has its default: empty values are left out, and old results have fewer fields.
    known = [row.get(name, _DEFAULTS.get(name)) for row in rows if name in row or name in _DEFAULTS]
    return any(value != known[0] for value in known[1:])
