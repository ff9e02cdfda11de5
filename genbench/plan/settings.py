"""Settings given by `--set NAME.option=value`: what they may name, and which spec receives which value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS
from genbench.api.specs import ConfigurableSpec, ModelSpec
from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import CONFIGURABLE, Catalogue
from genbench.plugins.metric_names import FeatureMetric

Settings = Mapping[str, Mapping[str, OptionValue]]  # name -> option -> value


def own_settings(settings: Settings, spec: ConfigurableSpec) -> dict[str, OptionValue]:
    """Return the settings of a spec's own options; for a model, this leaves out its recipe fields."""
    own = {option.name for option in spec.option_schema}
    return {option: value for option, value in settings.get(spec.name, {}).items() if option in own}


def recipe_settings(settings: Settings, model: ModelSpec) -> dict[str, OptionValue]:
    """Return the recipe fields that are set for this model only."""
    return {option: value for option, value in settings.get(model.name, {}).items() if option in RECIPE_FIELDS}


def chosen_latent_dim(settings: Settings, model: ModelSpec) -> int:
    """Return the model's number of latents, as set or by default; raise `UsageError` unless it is positive."""
    value = settings.get(model.name, {}).get("latent_dim", model.latent_dim)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{model.name}.latent_dim = {value!r} is not a positive integer.")
    return value


def check_settings(settings: Settings, specs: Iterable[ConfigurableSpec], catalogue: Catalogue) -> None:
    """Raise `UsageError` for a setting that none of `specs`, the things used in the run, would receive.

    A model, a loss and a dataset may share a name; each receives the options that it declares.
    """
    known: dict[str, set[str]] = {}
    for spec in specs:
        options = known.setdefault(spec.name, set())
        options.update(option.name for option in spec.option_schema)
        if isinstance(spec, FeatureMetric):  # the options of the metric with every extractor
            known.setdefault(spec.base, set()).update(options)
        if isinstance(spec, ModelSpec):
            options.update(RECIPE_FIELDS, ["latent_dim"])
    for name, table in settings.items():
        if name not in known:
            _raise_unused_name(name, known, catalogue)
        for option in table:
            if option not in known[name]:
                has = f"{name} has: {', '.join(sorted(known[name]))}." if known[name] else f"{name} has no options."
                raise UsageError(f"Unknown option {name}.{option}.{near_miss(option, known[name])}", has)


def _raise_unused_name(name: str, used: Iterable[str], catalogue: Catalogue) -> None:
    if name == "recipe":
        raise UsageError("--set recipe.… is not valid.", "Recipe fields have their own flags, such as --batch-size.")
    remedy = f"Used in this run: {', '.join(sorted(used))}."
    for kind in CONFIGURABLE:
        if name in catalogue.entries(kind):
            raise UsageError(f"--set {name}.…: '{name}' is not used in this run.", remedy)
    for kind in CONFIGURABLE:
        if catalogue.quarantined_claims(kind, name):
            catalogue.require(kind, name)  # raises the reason of the quarantine
    raise UsageError(f"--set {name}.…: nothing is named '{name}'.{near_miss(name, used)}", remedy)
