"""What `--set NAME.option=value` may name, and who takes which value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS
from genbench.api.specs import ConfigurableSpec, ModelSpec
from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import CONFIGURABLE, Catalogue

Settings = Mapping[str, Mapping[str, OptionValue]]  # name -> option -> value


def own_settings(settings: Settings, spec: ConfigurableSpec) -> dict[str, OptionValue]:
    """Return what is given to a spec's own options; of a model, not what is given to its recipe."""
    own = {option.name for option in spec.option_schema}
    return {option: value for option, value in settings.get(spec.name, {}).items() if option in own}


def recipe_settings(settings: Settings, model: ModelSpec) -> dict[str, OptionValue]:
    """Return what is given to recipe fields for this model alone."""
    return {option: value for option, value in settings.get(model.name, {}).items() if option in RECIPE_FIELDS}


def chosen_latent_dim(settings: Settings, model: ModelSpec) -> int:
    """Return the model's number of latents; raises `UsageError` where the given one is none."""
    value = settings.get(model.name, {}).get("latent_dim", model.latent_dim)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{model.name}.latent_dim = {value!r} is not a whole number from 1.")
    return value


def check_settings(settings: Settings, specs: Iterable[ConfigurableSpec], catalogue: Catalogue) -> None:
    """Refuse a setting that nothing among `specs`, those that take part, would take: it would silently do nothing.

    A model, a loss and a dataset may share a name; each takes the options that it has.
    """
    known: dict[str, set[str]] = {}
    for spec in specs:
        options = known.setdefault(spec.name, set())
        options.update(option.name for option in spec.option_schema)
        if isinstance(spec, ModelSpec):
            options.update(RECIPE_FIELDS, ["latent_dim"])
    for name, table in settings.items():
        if name not in known:
            _refuse_name(name, known, catalogue)
        for option in table:
            if option not in known[name]:
                has = f"{name} has: {', '.join(sorted(known[name]))}." if known[name] else f"{name} has no options."
                raise UsageError(f"Unknown option {name}.{option}.{near_miss(option, known[name])}", has)


def _refuse_name(name: str, taking_part: Iterable[str], catalogue: Catalogue) -> None:
    if name == "recipe":
        cure = "Recipe fields have flags of their own, such as --batch-size."
        raise UsageError("--set recipe.… is not needed.", cure)
    cure = f"Taking part: {', '.join(sorted(taking_part))}."
    for kind in CONFIGURABLE:
        if name in catalogue.entries(kind):
            raise UsageError(f"--set {name}.…: '{name}' takes no part in this run.", cure)
    for kind in CONFIGURABLE:
        if catalogue.quarantined_claims(kind, name):
            catalogue.require(kind, name)  # says why it is quarantined
    raise UsageError(f"--set {name}.…: nothing is named '{name}'.{near_miss(name, taking_part)}", cure)
