"""The command line that repeats one cell: planning it gives a cell with the same id.

It is made from what is stored alone. The defaults of a model, a loss or a dataset are not stored and may differ between
versions, so every option and every field of the recipe is written out, except those that the profile sets to the same
value, because a profile wins over models and losses.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from genbench import __version__
from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS, RECIPE_SCHEMA, resolve_recipe
from genbench.errors import UsageError
from genbench.planning.profiles import PROFILES
from genbench.planning.values import parse_value
from genbench.results.schema import CellIdentity, Choice, PlannedCell, PluginOrigin, RunRecord
from genbench.results.toml_text import toml_text

_TYPES = {option.name: option.type for option in RECIPE_SCHEMA}
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def repeat_command(record: RunRecord, planned: PlannedCell) -> list[str]:
    """Return the arguments, ``genbench`` first, that plan this cell again with the same id.

    `repeat_notes` says what else is needed. The path of a plugin file is the one on the machine of the run.

    Args:
        record: the run that the cell belongs to.
        planned: the cell.
    """
    identity = planned.identity
    command = ["genbench", "run", "--models", identity.model.name, "--losses", identity.loss.name]
    command += ["--datasets", identity.dataset.name, "--seeds", str(identity.seed), "--device", identity.device]
    known = PROFILES.get(record.profile)
    command += ["--profile", known.name if known else "quick"]
    certain = known.recipe if known and identity.genbench == __version__ else {}
    model = _owner("model", identity.model, identity)
    settings = [f"{model}.latent_dim={identity.latent_dim}"]
    for name, value in _recipe(identity).items():
        if name in certain and certain[name] == value:
            continue
        text = _flag_value(name, value)
        if text is None:
            settings.append(f"{model}.{name}={_set_value(value)}")
        else:
            command += [f"--{name.replace('_', '-')}", text]
    for kind, choice in (("model", identity.model), ("loss", identity.loss), ("dataset", identity.dataset)):
        owner = _owner(kind, choice, identity)
        settings += [f"{owner}.{name}={_set_value(value)}" for name, value in choice.options.items()]
    for metric, options in (identity.metric_options or {}).items():
        settings += [f"metric:{metric}.{name}={_set_value(value)}" for name, value in options.items()]
    for setting in settings:
        command += ["--set", setting]
    command += ["--metrics", ",".join(_metrics(identity)) or "none"]
    if planned.samplers:
        command += ["--samplers", ",".join(_sampler_text(one.name, one.options) for one in planned.samplers)]
    for target in record.targets if identity.recipe.get("evaluate_every") else ():
        if target.metric in identity.metrics:
            command += ["--target", f"{target.metric}={target.value!r}"]
    for path in _plugin_files(record, identity):
        command += ["--plugin", path]
    limits = {"threads": record.threads, "memory-limit": record.memory_limit}
    if record.timeout != (known.timeout if known else None):
        limits["timeout"] = record.timeout or 0
    for name, number in limits.items():
        command += (
            [f"--{name}", f"{number:g}" if isinstance(number, float) else str(number)] if number is not None else []
        )
    return command


def repeat_text(record: RunRecord, planned: PlannedCell) -> str:
    """Return the command as one line for a POSIX shell; characters that act on a terminal are escaped."""
    return " ".join(map(_quoted, repeat_command(record, planned)))


def repeat_notes(record: RunRecord, planned: PlannedCell) -> list[str]:
    """Return what the command needs besides genbench: plugins, the directory that paths start from, other machines."""
    identity = planned.identity
    notes = []
    if identity.dataset.split:
        notes.append(
            "It was trained on the validation split of `genbench tune`: no command of `genbench run` repeats it."
        )
    if identity.genbench != __version__:
        notes.append(f"The cell was planned with genbench {identity.genbench}: install this version for the same id.")
    files = {PurePath(path).name for path in record.plugin_files}
    for origin in dict.fromkeys(origin for origin in _origins(identity) if origin.plugin != "builtin"):
        if origin.distribution in files:
            notes.append(f"It needs the plugin file {origin.distribution}, whose SHA-256 begins with {origin.version}.")
        else:
            notes.append(f"It needs the plugin package {origin.distribution} {origin.version}.")
    relative = [text for text in _paths(identity) if not text.startswith(("/", "~"))]
    if relative:
        notes.append(f"Relative paths start in the directory in which the run was planned: {', '.join(relative)}.")
    if identity.init_hash:
        notes.append(f"The tensors of the initial weights have the SHA-256 {identity.init_hash}.")
    if _recipe(identity).get("nnodes", 1) != 1:
        notes.append("It trains on several machines: add the same --rdzv-endpoint HOST:PORT on each.")
    unknown = sorted(identity.recipe.keys() - {*RECIPE_FIELDS})
    if unknown:
        notes.append(f"This version of genbench has no setting {', '.join(unknown)}.")
    notes += [
        f"The options of the sampler '{sampler.name}' cannot be written on a command line."
        for sampler in planned.samplers
        if any(re.search("[,:]", _set_value(value)) for value in sampler.options.values())
    ]
    return notes


def _recipe(identity: CellIdentity) -> dict[str, OptionValue]:
    """Return every field of the recipe; those that an older genbench did not have keep their defaults."""
    given = {name: value for name, value in identity.recipe.items() if name in RECIPE_FIELDS}
    try:
        return resolve_recipe(given).settings
    except UsageError:
        return given  # of a version that allowed other values


def _flag_value(name: str, value: OptionValue) -> str | None:
    """Return the value as its flag reads it; None where only ``--set`` can say it."""
    if value is None:
        return None
    if isinstance(value, list):
        plain = all(isinstance(item, str) and item == item.strip() and item and "," not in item for item in value)
        return ",".join(value) if plain and len({*value}) == len(value) else None
    if isinstance(value, str) and _TYPES[name] == "str" and "," in value:
        return None  # several values, where the field has choices
    return value if isinstance(value, str) else _set_value(value)


def _set_value(value: OptionValue) -> str:
    """Return the value as ``--set`` reads it: TOML, or text that means itself."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        items = (toml_text(item) if isinstance(item, str) else _set_value(item) for item in value)
        return f"[{', '.join(items)}]"
    if isinstance(value, str):
        if "," in value:
            return f"[{toml_text(value)}]"  # one value of a sweep: not divided at the comma
        return value if value and parse_value(value) == value else toml_text(value)
    return repr(value)


def _sampler_text(name: str, options: Mapping[str, OptionValue]) -> str:
    return ":".join([name, *(f"{option}={_set_value(value)}" for option, value in options.items())])


def _owner(kind: str, choice: Choice, identity: CellIdentity) -> str:
    """Return the name of a choice, with its kind where something else of the cell has the same name."""
    names = [identity.model.name, identity.loss.name, identity.dataset.name]
    unique = names.count(choice.name) == 1
    unique = unique and not any(f"{metric}-".startswith(f"{choice.name}-") for metric in identity.metrics)
    return choice.name if unique else f"{kind}:{choice.name}"


def _metrics(identity: CellIdentity) -> list[str]:
    """Return what to ask for: the metric that selects the best weights may be one that this cell does not have."""
    best = identity.recipe.get("best_metric")
    return list(dict.fromkeys([*identity.metrics, *([str(best)] if best else [])]))


def _origins(identity: CellIdentity) -> Iterator[PluginOrigin]:
    for choice in (identity.model, identity.family, identity.loss, identity.dataset):
        yield choice.origin
    yield from (identity.metric_origins or {}).values()


def _plugin_files(record: RunRecord, identity: CellIdentity) -> list[str]:
    """Return the plugin files of the run that this cell uses."""
    used = {(origin.distribution, origin.version) for origin in _origins(identity)}
    hashes = record.plugin_hashes or [""] * len(record.plugin_files)
    return [
        path
        for path, digest in zip(record.plugin_files, hashes, strict=False)
        if any(name == PurePath(path).name and digest.startswith(version) for name, version in used)
        or (not digest and any(name == PurePath(path).name for name, _ in used))
    ]


def _paths(identity: CellIdentity) -> list[str]:
    """Return the texts of a cell that look like paths."""
    weights = identity.recipe.get("init_from")
    texts = [text for text in identity.dataset.options.values() if isinstance(text, str) and "/" in text]
    return [*texts, weights] if isinstance(weights, str) and weights else texts


def _quoted(argument: str) -> str:
    if not _ACTING.search(argument):
        return shlex.quote(argument)
    escaped = argument.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_ACTING.sub(_escape, escaped)}'"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"
