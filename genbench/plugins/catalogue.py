"""The catalogue: everything that a plan can name, and the plugin that registered it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from genbench.api.discriminators import unfit_output
from genbench.api.recipe import RECIPE_FIELDS, resolve_recipe
from genbench.api.specs import (
    DatasetSpec,
    ExecutorSpec,
    ExtractorSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    ReporterSpec,
    Spec,
)
from genbench.errors import GenbenchError, UsageError, near_miss
from genbench.plugins.known_packages import find_package
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
from genbench.plugins.metric_names import (
    FeatureMetric,
    covers,
    feature_metrics,
    is_reserved,
    literal_names,
    names_its_extractor,
)
from genbench.plugins.probe import probe
from genbench.process.child import MARK

S = TypeVar("S", bound=Spec)
LIKELIHOOD = "likelihood"  # in --metrics: all metrics that need a bound on the likelihood

CONFIGURABLE: tuple[Kind, ...] = (
    "models",
    "losses",
    "datasets",
    "metrics",
    "reporters",
    "executors",
)  # what --set can name
SINGULAR: dict[Kind, str] = {
    "families": "family",
    "models": "model",
    "losses": "loss",
    "datasets": "dataset",
    "extractors": "extractor",
    "metrics": "metric",
    "reporters": "reporter",
    "executors": "executor",
}

_MISTAKEN: tuple[Kind, ...] = ("models", "losses", "families")  # kinds whose names are taken for one another


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A spec and the plugin that registered it."""

    spec: S
    plugin: Plugin
    extractor: Plugin | None = None  # of a metric with an extractor: the plugin of the extractor, if it is another

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plugins whose code it needs."""
        return (self.plugin,) if self.extractor is None else (self.plugin, self.extractor)


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
    executors: dict[str, Entry[ExecutorSpec]] = field(default_factory=dict)
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
                code="GB202",
            )
        self._raise_if_in_package(kind, name)
        self._raise_if_of_another_kind(kind, name)
        names = sorted(name for name, entry in entries.items() if not names_its_extractor(entry.spec))
        known = f"{kind.capitalize()}: {', '.join(names) or 'none is installed'}."
        cure = "\n".join([*self.quarantine_hints(), known])
        raise UsageError(f"Unknown {SINGULAR[kind]} '{name}'.{near_miss(name, entries)}", cure, code="GB101")

    def _raise_if_in_package(self, kind: Kind, name: str) -> None:
        """Raise `UsageError` for a name that a missing package of `plugins/` brings, or that has another name here."""
        found = find_package(kind, name)
        if found is None:
            return
        package, called = found
        title = SINGULAR[kind]
        if called in self.entries(kind):
            raise UsageError(f"The {title} '{name}' is called '{called}' here.", f"Write {called}.", code="GB101")
        if all(plugin.distribution != package.distribution for plugin in self.plugins):
            what = f"'{name}'" if called == name else f"'{name}', here called '{called}',"
            raise UsageError(
                f"The {title} {what} is in the package {package.distribution}, which is not installed.",
                f"Install it: {package.installation}.",
                code="GB403",
            )

    def _raise_if_of_another_kind(self, kind: Kind, name: str) -> None:
        """Raise `UsageError` for a loss or family in the place of a model, or a model or family in that of a loss."""
        if kind not in ("models", "losses"):
            return
        for other in (mistaken for mistaken in _MISTAKEN if mistaken != kind):
            self._raise_if_in_package(other, name)
            if name in self.entries(other):
                mistake = f"'{name}' is a {SINGULAR[other]}, not a {SINGULAR[kind]}."
                raise UsageError(mistake, self._usage_of(other, name))

    def _usage_of(self, kind: Kind, name: str) -> str:
        """Return how to use a model, a loss or a family in a request."""
        if kind == "models":
            return f"Write --models {name}."
        if kind == "losses":
            models = self._models_for(self.losses[name].spec)
            return f"Name a model to use it with: --models {models[0]} --losses {name}." if models else ""
        members = [model for model, entry in self.models.items() if entry.spec.family == name]
        return f"Its models: {', '.join(members) or 'none is installed'}."

    def _models_for(self, loss: LossSpec) -> list[str]:
        """Return the models that a loss works with, the ones whose default it is first."""
        specs = [entry.spec for entry in self.models.values() if entry.spec.family == loss.family]
        fitting = [spec for spec in specs if not unfit_output(spec.discriminator_output, loss.discriminator_outputs)]
        return [spec.name for spec in sorted(fitting, key=lambda spec: spec.default_loss != loss.name)]

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
                code="GB202",
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
    additions = [(kind, Entry(spec, loaded.plugin)) for kind in SPEC_TYPES for spec in loaded.specs.get(kind, [])]
    additions += [("metrics", entry) for entry in _feature_metrics(catalogue, loaded)]
    taken: set[tuple[Kind, str]] = set()
    for kind, entry in additions:
        name = entry.spec.name
        existing = catalogue.entries(kind).get(name)
        if existing is not None:
            raise UsageError(
                f"it registers the {SINGULAR[kind]} '{name}', which {existing.plugin.title} already registers",
                code="GB205",
            )
        if (kind, name) in taken:
            raise UsageError(f"it registers the {SINGULAR[kind]} '{name}' twice", code="GB205")
        taken.add((kind, name))
        _require_valid(entry.spec)
    if loaded.plugin.origin != "builtin":  # a test checks the names of the built-in metrics
        for _, entry in additions:
            _require_unreserved(entry.spec)
        metrics = [cast("Entry[MetricSpec]", entry) for kind, entry in additions if kind == "metrics"]
        require_own_names(metrics, [*catalogue.metrics.values()])
    for kind, entry in additions:
        catalogue.entries(kind)[entry.spec.name] = entry


def _feature_metrics(catalogue: Catalogue, loaded: LoadedPlugin) -> list[Entry[Any]]:
    """Return the metrics with an extractor that this plugin adds: its own, and those of its extractors.

    A built-in metric of a plugin's extractor belongs to the plugin of the extractor.
    """
    plugin = loaded.plugin
    extractors = [cast("ExtractorSpec", spec) for spec in loaded.specs.get("extractors", [])]
    metrics = [cast("MetricSpec", spec) for spec in loaded.specs.get("metrics", [])]
    found: list[Entry[Any]] = [Entry(spec, plugin) for spec in feature_metrics(metrics, extractors)]
    for known in catalogue.metrics.values():
        builtin = known.plugin.origin == "builtin"
        added = feature_metrics([known.spec], extractors)
        found += [Entry(spec, plugin) if builtin else Entry(spec, known.plugin, plugin) for spec in added]
    for other in catalogue.extractors.values():
        further = None if other.plugin.origin == "builtin" else other.plugin
        found += [Entry(spec, plugin, further) for spec in feature_metrics(metrics, [other.spec])]
    return found


def require_own_names(added: Sequence[Entry[MetricSpec]], known: Sequence[Entry[MetricSpec]]) -> None:
    """Raise `UsageError` if estimates of one of the added metrics would have a name of another one, added or known."""
    for spec in [entry.spec for entry in added]:
        for entry in (*added, *known):
            other = entry.spec
            if isinstance(other, FeatureMetric) and isinstance(spec, FeatureMetric) and spec.base == other.base:
                continue  # the same measurement with two extractors
            if other.name == spec.name:
                continue
            clash = [name for name in literal_names(spec) if covers(other, name)]
            clash += [name for name in literal_names(other) if covers(spec, name)]
            if clash:
                raise UsageError(
                    f"the estimates of its metric '{spec.name}' would have the name '{clash[0]}' of the metric "
                    f"'{other.name}' of {entry.plugin.title}",
                    code="GB205",
                )


def _require_unreserved(spec: Spec) -> None:
    """Raise `UsageError` if a plugin's metric or extractor has a name of the scores of the Inception weights."""
    names = literal_names(spec) if isinstance(spec, MetricSpec) else []
    names += [spec.metric] if isinstance(spec, ExtractorSpec) else []
    for name in names:
        if is_reserved(name) and not (isinstance(spec, FeatureMetric) and is_reserved(spec.distance)):
            raise UsageError(
                f"'{spec.name}' has the name '{name}': fid, kid and is are reserved for the Inception weights of 2015",
                code="GB205",
            )


def _require_valid(spec: Spec) -> None:
    if isinstance(spec, ModelSpec):
        clash = {option.name for option in spec.option_schema} & {*RECIPE_FIELDS, "latent_dim"}
        if clash:
            raise UsageError(
                f"'{spec.name}' declares the option '{min(clash)}', which every model already has", code="GB205"
            )
    if isinstance(spec, MetricSpec) and spec.name in (LIKELIHOOD, "none"):
        raise UsageError(f"a metric cannot be named '{spec.name}': the name is reserved in --metrics", code="GB205")
    if isinstance(spec, ReporterSpec) and spec.name == "none":
        raise UsageError("a reporter cannot be named 'none': the name is reserved in --reporters", code="GB205")
    if isinstance(spec, ModelSpec | LossSpec):
        resolve_recipe(spec.recipe, owner=f"{spec.name}'s recipe")
