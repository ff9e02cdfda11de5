"""The catalogue: everything that a plan can name, and the plugin that registered it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from genbench.api.recipe import RECIPE_FIELDS, resolve_recipe
from genbench.api.specs import (
    DatasetSpec,
    ExtractorSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    ReporterSpec,
    Spec,
)
from genbench.errors import GenbenchError, UsageError, near_miss
from genbench.plugins.feature_metrics import PREFIXES, feature_metrics
from genbench.plugins.loader import (
    SPEC_TYPES,
    Kind,
    LoadedPlugin,
    Plugin,
    builtin_plugins,
    file_plugins,
    installed_plugins,
    load_plugin,
)
from genbench.plugins.probe import probe
from genbench.process.child import MARK

S = TypeVar("S", bound=Spec)
LIKELIHOOD = "likelihood"  # in --metrics: all metrics that need a bound on the likelihood

CONFIGURABLE: tuple[Kind, ...] = ("models", "losses", "datasets", "reporters")  # what --set can name
SINGULAR: dict[Kind, str] = {
    "families": "family",
    "models": "model",
    "losses": "loss",
    "datasets": "dataset",
    "extractors": "extractor",
    "metrics": "metric",
    "reporters": "reporter",
}


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A spec and the plugin that registered it."""

    spec: S
    plugin: Plugin


@dataclass
class Catalogue:
    """All usable specs by kind and name, and all plugins, quarantined ones included."""

    families: dict[str, Entry[FamilySpec]] = field(default_factory=dict)
    models: dict[str, Entry[ModelSpec]] = field(default_factory=dict)
    losses: dict[str, Entry[LossSpec]] = field(default_factory=dict)
    datasets: dict[str, Entry[DatasetSpec]] = field(default_factory=dict)
    extractors: dict[str, Entry[ExtractorSpec]] = field(default_factory=dict)
    metrics: dict[str, Entry[MetricSpec]] = field(default_factory=dict)
    reporters: dict[str, Entry[ReporterSpec]] = field(default_factory=dict)
    plugins: list[Plugin] = field(default_factory=list)

    def entries(self, kind: Kind) -> dict[str, Entry[Any]]:
        """Return the entries of one kind by name."""
        return cast("dict[str, Entry[Any]]", getattr(self, kind))

    def require(self, kind: Kind, name: str) -> Entry[Any]:
        """Return the entry with this name; else raise `UsageError` with a similar name or the quarantined plugin."""
        entries = self.entries(kind)
        if name in entries:
            return entries[name]
        claims = self.quarantined_claims(kind, name)
        if claims:
            raise UsageError(
                f"The {SINGULAR[kind]} '{name}' is registered by the {claims[0].explanation}",
                "See `genbench plugin list` for the traceback.",
            )
        known = f"{kind.capitalize()}: {', '.join(sorted(entries)) or 'none is installed'}."
        cure = "\n".join([*self.quarantine_hints(), known])
        raise UsageError(f"Unknown {SINGULAR[kind]} '{name}'.{near_miss(name, entries)}", cure)

    def quarantine_hints(self) -> list[str]:
        """Return a sentence for each quarantined plugin that may register the name: what it registers is unknown."""
        suspects = [plugin for plugin in self.plugins if plugin.quarantined and not plugin.registers]
        return [f"It may be in the {plugin.explanation}" for plugin in suspects]

    def quarantined_claims(self, kind: Kind, name: str) -> list[Plugin]:
        """Return the quarantined plugins that register this name."""
        return [p for p in self.plugins if p.quarantined and name in p.registers.get(kind, [])]


def discover(files: Sequence[str | Path] = ()) -> Catalogue:
    """Return the catalogue of built-in, installed and single-file plugins; third-party code runs in a child process."""
    loaded = [load_plugin(plugin) for plugin in builtin_plugins()]
    others = [*installed_plugins(), *file_plugins(files)]
    if others:
        if os.environ.get(MARK):  # otherwise this command would load the plugin that has started it, and so on
            raise UsageError(
                "A plugin started genbench while it was being loaded.",
                "Remove the call from the plugin: importing it must only define things.",
            )
        loaded += probe(others)
    return combine(loaded)


def combine(loaded: Iterable[LoadedPlugin]) -> Catalogue:
    """Add plugins in order; a plugin that reuses a name, or has an invalid spec, is quarantined as a whole."""
    catalogue = Catalogue()
    for candidate in loaded:
        plugin = candidate.plugin
        if not plugin.quarantined:
            try:
                _add(catalogue, candidate)
            except GenbenchError as error:
                plugin = plugin.quarantine(f"{error.cause} {error.cure}".strip())
        catalogue.plugins.append(plugin)
    return catalogue


def _add(catalogue: Catalogue, loaded: LoadedPlugin) -> None:
    additions: list[tuple[Kind, Spec]] = [(kind, spec) for kind in SPEC_TYPES for spec in loaded.specs.get(kind, [])]
    for extractor in [spec for _, spec in additions if isinstance(spec, ExtractorSpec)]:
        additions += [("metrics", metric) for metric in feature_metrics(extractor)]
    taken: set[tuple[Kind, str]] = set()
    for kind, spec in additions:
        existing = catalogue.entries(kind).get(spec.name)
        if existing is not None:
            raise UsageError(
                f"it registers the {SINGULAR[kind]} '{spec.name}', which {existing.plugin.title} already registers"
            )
        if (kind, spec.name) in taken:
            raise UsageError(f"it registers the {SINGULAR[kind]} '{spec.name}' twice")
        taken.add((kind, spec.name))
        _require_valid(spec)
    for kind, spec in additions:
        catalogue.entries(kind)[spec.name] = Entry(spec, loaded.plugin)


def _require_valid(spec: Spec) -> None:
    if isinstance(spec, ModelSpec):
        clash = {option.name for option in spec.option_schema} & {*RECIPE_FIELDS, "latent_dim"}
        if clash:
            raise UsageError(f"'{spec.name}' declares the option '{min(clash)}', which every model already has")
    if isinstance(spec, MetricSpec) and spec.name in (*PREFIXES, LIKELIHOOD, "none"):
        raise UsageError(f"a metric cannot be named '{spec.name}': the name is reserved in --metrics")
    if isinstance(spec, ReporterSpec) and spec.name == "none":
        raise UsageError("a reporter cannot be named 'none': the name is reserved in --reporters")
    if isinstance(spec, ModelSpec | LossSpec):
        resolve_recipe(spec.recipe, owner=f"{spec.name}'s recipe")
