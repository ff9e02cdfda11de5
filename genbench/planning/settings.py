"""Settings given by `--set NAME.option=value`: what they may name, and which spec receives which value.

A name is that of a model, loss, dataset, metric, reporter or executor. Where two of them share it, the kind says which
is meant, as in ``loss:NAME``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genbench.api.images import Shape
from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS
from genbench.api.specs import ConfigurableSpec, ModelSpec
from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import CONFIGURABLE, SINGULAR, Catalogue
from genbench.plugins.loader import SPEC_TYPES
from genbench.plugins.metric_names import FeatureMetric

Settings = Mapping[str, Mapping[str, OptionValue]]  # name or kind:name -> option -> value
_KINDS = {SINGULAR[kind]: kind for kind in CONFIGURABLE}  # as written before the colon


def settings_of(settings: Settings, spec: ConfigurableSpec) -> dict[str, OptionValue]:
    """Return everything that is set for a name that this spec has; its qualified name wins."""
    return {**settings.get(spec.name, {}), **settings.get(_qualified(spec), {})}


def own_settings(settings: Settings, spec: ConfigurableSpec) -> dict[str, OptionValue]:
    """Return the settings of a spec's own options; for a model, this leaves out its recipe fields."""
    own = {option.name for option in spec.option_schema}
    return {option: value for option, value in settings_of(settings, spec).items() if option in own}


def recipe_settings(settings: Settings, model: ModelSpec) -> dict[str, OptionValue]:
    """Return the recipe fields that are set for this model only."""
    return {option: value for option, value in settings_of(settings, model).items() if option in RECIPE_FIELDS}


def chosen_latent_dim(settings: Settings, model: ModelSpec, image_shape: Shape) -> int:
    """Return the model's number of latents, as set or by default.

    Raises `UsageError` unless it is positive, and for another number where the images determine it.
    """
    given, default = settings_of(settings, model), model.default_latent_dim(image_shape)
    if model.latent_dim is None and given.get("latent_dim", default) != default:
        raise UsageError(
            f"{model.name}.latent_dim cannot be set: the model has one latent for each value of an image.",
            "Leave it out.",
        )
    value = given.get("latent_dim", default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{model.name}.latent_dim = {value!r} is not a positive integer.")
    return value


def merged(lower: Settings, upper: Settings) -> dict[str, dict[str, OptionValue]]:
    """Return both settings; `upper` wins, also where only one of them states the kind."""
    found = {name: {**lower.get(name, {}), **upper.get(name, {})} for name in {**lower, **upper}}
    for name, table in upper.items():
        for qualified in (f"{kind}:{name}" for kind in _KINDS if f"{kind}:{name}" in lower):
            kept = upper.get(qualified, {})
            found[qualified] = {o: value for o, value in found[qualified].items() if o not in table or o in kept}
    return found


def check_settings(settings: Settings, specs: Iterable[ConfigurableSpec], catalogue: Catalogue) -> None:
    """Raise `UsageError` for a setting that none of `specs`, the things used in the run, would receive, or several."""
    known: dict[str, set[str]] = {}
    for spec in specs:
        names = [_qualified(spec)]
        if isinstance(spec, FeatureMetric):  # the name of the metric without its extractor means it with every one
            names.append(f"{SINGULAR['metrics']}:{spec.base}")
        for qualified in names:
            known.setdefault(qualified, set()).update(_settable(spec))
    for name, table in settings.items():
        reached = [qualified for qualified in known if name in (qualified, qualified.partition(":")[2])]
        if not reached:
            _raise_unused_name(name, {qualified.partition(":")[2] for qualified in known}, catalogue)
        for option in table:
            _require_one(name, option, {qualified: known[qualified] for qualified in reached})


def _require_one(name: str, option: str, known: Mapping[str, set[str]]) -> None:
    """Raise `UsageError` unless exactly one of the things with this name has the option."""
    having = [qualified for qualified, options in known.items() if option in options]
    if not having:
        every = set().union(*known.values())
        has = f"{name} has: {', '.join(sorted(every))}." if every else f"{name} has no options."
        raise UsageError(f"Unknown option {name}.{option}.{near_miss(option, every)}", has, code="GB101")
    if len(having) > 1:
        kinds = " and ".join(f"the {qualified.partition(':')[0]}" for qualified in having)
        forms = " or ".join(f"--set {qualified}.{option}=…" for qualified in having)
        tables = " or ".join(f'[set."{qualified}"]' for qualified in having)
        raise UsageError(
            f"--set {name}.{option} is ambiguous: {kinds} '{name}' have this option.",
            f"Write {forms}; in a plan, {tables}.",
            code="GB107",
        )


def _settable(spec: ConfigurableSpec) -> set[str]:
    """Return the names of everything that can be set for a spec."""
    own = {option.name for option in spec.option_schema}
    return own | {*RECIPE_FIELDS, "latent_dim"} if isinstance(spec, ModelSpec) else own


def _qualified(spec: ConfigurableSpec) -> str:
    """Return the name of a spec with its kind, such as ``model:gan``."""
    kind = next(kind for kind, type_ in SPEC_TYPES.items() if isinstance(spec, type_))
    return f"{SINGULAR[kind]}:{spec.name}"


def _raise_unused_name(given: str, used: Iterable[str], catalogue: Catalogue) -> None:
    if given == "recipe":
        raise UsageError("--set recipe.… is not valid.", "Recipe fields have their own flags, such as --batch-size.")
    stated, colon, after = given.partition(":")
    name = after if colon else given
    if colon and stated not in _KINDS:
        raise UsageError(
            f"--set {given}.…: '{stated}' is not a kind.{near_miss(stated, _KINDS)}",
            f"Kinds: {', '.join(_KINDS)}.",
            code="GB101",
        )
    kinds = [_KINDS[stated]] if colon else CONFIGURABLE
    remedy = f"Used in this run: {', '.join(sorted(used))}."
    what = f"the {stated} '{name}'" if colon else f"'{name}'"
    for kind in kinds:
        if name in catalogue.entries(kind):
            raise UsageError(f"--set {given}.…: {what} is not used in this run.", remedy, code="GB104")
    for kind in kinds:
        if catalogue.quarantined_claims(kind, name):
            catalogue.require(kind, name)  # raises the reason of the quarantine
    nothing = f"no {stated}" if colon else "nothing"
    raise UsageError(f"--set {given}.…: {nothing} is named '{name}'.{near_miss(name, used)}", remedy, code="GB101")
