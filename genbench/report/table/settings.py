"""The settings behind each row: those that all rows share go into the caption, those that differ become columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from genbench.api.options import OptionValue, named_options
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA
from genbench.api.specs import DatasetSpec, LossSpec, ModelSpec
from genbench.plugins.loader import Kind
from genbench.plugins.worker_catalogue import load_builtin_plugins
from genbench.report.numbers import MISSING, count
from genbench.results.identity_settings import chosen, options_by_choice
from genbench.results.schema import CellResult, Choice, PlannedCell, RunRecord

# What a reader must know about any number, in the order of the caption, with its wording there. Recipe fields whose
# shared value is not the default follow, and everything else that the plan changed.
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
MEASURING = ("warmup_steps", "energy_seconds")  # how a cell is measured, not how it is trained
_DEFAULTS = {option.name: option.default for option in RECIPE_SCHEMA}
_COUNTS = ("images", "samples", "steps", "evaluate_every")
_KINDS: dict[str, Kind] = {"model": "models", "loss": "losses", "dataset": "datasets"}
PLUGIN = " plugin"  # ends the name of the setting with the version of a model, loss, dataset or family
SYNTHETIC = "synthetic: speed only"


@dataclass(frozen=True)
class Settings:
    """How the settings of the rows are divided."""

    shared: dict[str, OptionValue]  # the same in every row that has it
    varying: tuple[str, ...]  # names of those that differ, in the order of the columns
    implied: tuple[str, ...] = ()  # recipe fields and options that differ, but follow from the variant
    noted: tuple[str, ...] = ()  # those that differ, but follow from model, loss and dataset: footnotes state them
    unsaid: tuple[str, ...] = ()  # versions of built-in plugins that differ: they follow from that of genbench

    @property
    def names(self) -> set[str]:
        """The names of all settings."""
        return {*self.shared, *self.varying, *self.implied, *self.noted, *self.unsaid}


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
        found[f"{choice.name}{PLUGIN}"] = f"{choice.origin.distribution} {choice.origin.version}"
    if result is not None and result.comparability is not None:
        measured = result.comparability
        found |= {name: getattr(measured, name) for name in ("machine", "accelerator", "driver", "torch", "python")}
        found |= {"cores": float(measured.cores), "threads": measured.threads}
        found |= {"precision": measured.precision, "engine": measured.engine}  # as used, not as requested
    return {name: value for name, value in found.items() if value not in ("", None) or name in (cell.changed or ())}


def changed_settings(cell: PlannedCell) -> list[str]:
    """Return the settings that the plan changes.

    Where a run does not say so, as those of early versions: the options that are not the present defaults of built-in
    models, losses and datasets. The defaults of others are not known.
    """
    if cell.changed is not None:
        return cell.changed
    usual = named_options(
        (
            kind,
            choice.name,
            {**choice.options, **(_built_in_defaults(kind, choice.name) if _is_built_in(choice) else {})},
        )
        for kind, choice in chosen(cell.identity)
    )
    return [name for name, value in options_by_choice(cell.identity).items() if value != usual[name]]


def _is_built_in(choice: Choice) -> bool:
    return choice.origin.plugin == "builtin"


@cache
def _built_in_defaults(kind: str, name: str) -> dict[str, OptionValue]:
    """Return the default of each option, none for a name that is no longer built in."""
    for loaded in load_builtin_plugins():
        for spec in loaded.specs[_KINDS[kind]]:
            if isinstance(spec, ModelSpec | LossSpec | DatasetSpec) and spec.name == name:
                return {option.name: option.default for option in spec.option_schema}
    return {}


def divide(rows: Sequence[Mapping[str, OptionValue]], swept: Iterable[str] = ()) -> Settings:
    """Divide the settings of all rows into those they share and those that become columns, such as `swept` ones.

    A setting in which rows of the same model, loss and dataset differ is a column, unless the variant says it; so is
    one of the caption or a swept one. Where only models, losses or datasets differ, footnotes state the others.
    """
    names = list(dict.fromkeys([*CAPTION, *(name for row in rows for name in row)]))
    named = {"variant"} if any("variant" in row for row in rows) else set()  # a column even if all are the same
    varying = [name for name in names if name in named or _differs(name, rows)]
    implied = _implied_by_variants(rows) if named else ()
    unsaid = tuple(name for name in varying if name.endswith(PLUGIN) and all(_built_in(row, name) for row in rows))
    columns = {
        *CAPTION,
        *swept,
        *(name for alike in _peers(rows).values() for name in varying if _differs(name, alike)),
    }
    said = {"run", "model", *implied, *unsaid}
    chosen = tuple(name for name in varying if name in columns and name not in said)
    noted = tuple(name for name in varying if name not in columns and name not in said)
    shared = {name: value for row in rows for name, value in row.items() if name not in (*varying, *implied)}
    return Settings(shared, chosen, implied, noted, unsaid)


def notes_by_peers(rows: Sequence[Mapping[str, OptionValue]], noted: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Return what a footnote says about model, loss and dataset by `peer_key`: settings that are not the usual ones.

    The usual value is that of most combinations; of equally frequent ones, the first.
    """
    peers = {key: {name: value for row in alike for name, value in row.items()} for key, alike in _peers(rows).items()}
    usual = {name: most_frequent([row.get(name, _DEFAULTS.get(name)) for row in peers.values()]) for name in noted}
    labels = _peer_labels(list(peers))
    keys: dict[str, list[tuple[str, ...]]] = {}  # by what is said, which several combinations may share
    for key, row in peers.items():
        own = [
            difference_text(name, value, usual[name])
            for name in noted
            if (name in row or name in _DEFAULTS) and (value := row.get(name, _DEFAULTS.get(name))) != usual[name]
        ]
        if own:
            keys.setdefault("; ".join(own), []).append(key)
    return {
        key: f"{', '.join(dict.fromkeys(map(labels.__getitem__, alike)))}: {text}"
        for text, alike in keys.items()
        for key in alike
    }


def peer_key(row: Mapping[str, OptionValue]) -> tuple[str, ...]:
    """Return model, loss and dataset of a row."""
    return tuple(str(row.get(name)) for name in ("model", "loss", "dataset"))


def caption(shared: Mapping[str, OptionValue], changed: Iterable[str] = ()) -> str:
    """Return what all rows share in one line, with every setting that the plan `changed`."""
    parts = [
        _counted(template.format(setting_text(name, shared[name])))
        for name, template in CAPTION.items()
        if name in shared and not (name == "nproc" and shared[name] == _DEFAULTS[name])
    ]
    unusual = [name for name, default in _DEFAULTS.items() if name not in MEASURING and shared.get(name) != default]
    said = [name for name in dict.fromkeys([*unusual, *changed]) if name in shared and name not in CAPTION]
    return " · ".join([*parts, *(f"{name} = {setting_text(name, shared[name])}" for name in said)])


def _counted(text: str) -> str:
    """Return a number with its noun, without the plural of 1: ``1 thread``."""
    return text.removesuffix("s") if text.startswith("1 ") else text


def most_frequent(values: Sequence[OptionValue]) -> OptionValue:
    """Return the most frequent value; of equally frequent ones, the first."""
    counts = Counter(map(repr, values))
    return max(values, key=lambda value: counts[repr(value)])


def difference_text(name: str, value: OptionValue, usual: OptionValue) -> str:
    """Return what a footnote says about a value that is not the usual one."""
    return f"{name} = {setting_text(name, value)}, not {setting_text(name, usual)}"


def setting_text(name: str, value: OptionValue) -> str:
    """Return a setting's value for a reader."""
    if value is None or value == "":
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
        peers.setdefault(peer_key(row), {}).setdefault(str(row.get("variant", "")), []).append(row)
    options = dict.fromkeys(name for row in rows for name in row if "." in name and not name.endswith(PLUGIN))
    implied = []
    for name in (*RECIPE_FIELDS, "latent_dim", *options):
        seen = [[{repr(row.get(name)) for row in alike} for alike in variants.values()] for variants in peers.values()]
        follows = all(len(values) == 1 for variants in seen for values in variants)
        if follows and any(len(set().union(*variants)) > 1 for variants in seen):
            implied.append(name)
    return tuple(implied)


def _peers(rows: Iterable[Mapping[str, OptionValue]]) -> dict[tuple[str, ...], list[Mapping[str, OptionValue]]]:
    peers: dict[tuple[str, ...], list[Mapping[str, OptionValue]]] = {}
    for row in rows:
        peers.setdefault(peer_key(row), []).append(row)
    return peers


def _peer_labels(keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return the model of each combination, with loss and dataset where it has several."""
    of_model: dict[str, list[set[str]]] = {}
    for model, *others in keys:
        for known, name in zip(of_model.setdefault(model, [set(), set()]), others, strict=True):
            known.add(name)
    return {key: " × ".join([key[0], *(key[n] for n in (1, 2) if len(of_model[key[0]][n - 1]) > 1)]) for key in keys}


def _built_in(row: Mapping[str, OptionValue], name: str) -> bool:
    return str(row.get(name, "genbench ")).startswith("genbench ")


def _differs(name: str, rows: Sequence[Mapping[str, OptionValue]]) -> bool:
    # A row without a recipe field has its default: empty values are left out, and old results have fewer fields.
    known = [row.get(name, _DEFAULTS.get(name)) for row in rows if name in row or name in _DEFAULTS]
    return any(value != known[0] for value in known[1:])
