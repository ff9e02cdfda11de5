"""`genbench.catalogue` and `installed_plugins`: everything that a plan can name, and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from genbench.api.shape_rule import shapes_in_words
from genbench.api.specs import ConfigurableSpec, DatasetSpec, FamilySpec, LossSpec, MetricSpec, ModelSpec
from genbench.commands.arguments import PluginSource, plugin_paths
from genbench.commands.printed import Printable
from genbench.errors import UsageError, near_miss
from genbench.plugins import catalogue as plugin_catalogue
from genbench.plugins.catalogue import Entry
from genbench.plugins.known_packages import not_installed
from genbench.plugins.loader import Kind, Plugin
from genbench.plugins.metric_names import FeatureMetric, names_its_extractor
from genbench.report.plugin_details import describe_entry

_NAMES_WIDTH = 80  # characters for the names of one package that is not installed
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, repr=False)
class Catalogue(Printable):
    """Everything that a plan can name, by kind."""

    kind: Kind | None  # None: every kind
    entries: dict[Kind, dict[str, Entry[Any]]]  # a spec by its name, with its plugin
    quarantined: tuple[str, ...]  # plugins that could not be used; see `installed_plugins`
    distributions: frozenset[str]  # that plugins come from
    families: dict[str, Entry[FamilySpec]]

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of one kind, such as ``models``."""
        return tuple(self.entries[kind])

    def text(self, verbose: bool = False) -> str:
        """Return the names with a line about each, and packages that would add some; `verbose`: more about each."""
        parts = []
        for kind, entries in self.entries.items():
            title = f"{kind}\n" if self.kind is None else ""
            lines = [*_lines(entries, verbose, self.families), *_packages(kind, self.distributions)]
            parts.append(title + "".join(f"{line}\n" for line in lines))
        return "\n".join(parts)

    def as_data(self) -> Any:
        """Return each entry as plain data, by kind if there are several."""
        found = {kind: [describe_entry(entry) for entry in own.values()] for kind, own in self.entries.items()}
        return found if self.kind is None else found[self.kind]


@dataclass(frozen=True, repr=False)
class InstalledPlugins(Printable):
    """Every plugin that was found, also those that could not be used."""

    plugins: tuple[Plugin, ...]

    def text(self, verbose: bool = False) -> str:
        """Return a line about each plugin, and why it could not be used; with `verbose`, what it registers."""
        width = max((len(plugin.name) for plugin in self.plugins), default=0)
        return "".join(f"{line}\n" for plugin in self.plugins for line in _plugin_lines(plugin, width, verbose))

    def as_data(self) -> list[dict[str, Any]]:
        """Return each plugin with its status as plain data."""
        return [{**dataclasses.asdict(plugin), "status": _status(plugin)} for plugin in self.plugins]


def catalogue(kind: str | None = None, *, plugins: PluginSource | Sequence[PluginSource] = ()) -> Catalogue:
    """Return everything that a plan can name, as `genbench list`; torch is not imported.

    Raises `UsageError` with the nearest name for an unknown kind.

    Args:
        kind: ``models``, ``losses``, ``datasets``, ``metrics``, ``families``, ``extractors``, ``reporters`` or
            ``executors``.
        plugins: plugin files, or imported modules with a file of their own.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"Unknown kind '{kind}'.{near_miss(kind, KINDS)}", f"Kinds: {', '.join(KINDS)}.", code="GB101")
    found = plugin_catalogue.discover(plugin_paths(plugins))
    quarantined = tuple(plugin.name for plugin in found.plugins if plugin.quarantined)
    chosen = {one: found.entries(one) for one in KINDS if kind in (None, one)}
    distributions = frozenset(plugin.distribution for plugin in found.plugins)
    return Catalogue(next(iter(chosen)) if kind else None, chosen, quarantined, distributions, found.families)


def installed_plugins(*, plugins: PluginSource | Sequence[PluginSource] = ()) -> InstalledPlugins:
    """Return the installed plugins and those of these files, as `genbench plugin list`."""
    return InstalledPlugins(tuple(plugin_catalogue.discover(plugin_paths(plugins)).plugins))


def _lines(entries: dict[str, Entry[Any]], verbose: bool, families: dict[str, Entry[FamilySpec]]) -> list[str]:
    """Return the lines of one kind, under a line about each family if the entries belong to families."""
    if any(isinstance(entry.spec, MetricSpec) for entry in entries.values()):
        return _metric_lines(entries, verbose)
    groups: dict[str, dict[str, Entry[Any]]] = {}
    for name, entry in entries.items():
        groups.setdefault(getattr(entry.spec, "family", ""), {})[name] = entry
    lines = []
    for family, group in groups.items():
        known = families.get(family)
        lines += [f"{family}: {known.spec.summary}" if known else family] if family else []
        lines += _entry_lines(group, verbose)
    return lines


def _metric_lines(entries: dict[str, Entry[MetricSpec]], verbose: bool) -> list[str]:
    """Return a line about each metric: one for all extractors, with the names that do not end with the extractor's."""
    of_extractors = {name: entry for name, entry in entries.items() if entry.spec.per_extractor}
    specs = [entry.spec for entry in entries.values()]
    made = [spec for spec in specs if isinstance(spec, FeatureMetric)]
    example = next((f", such as {spec.name}" for spec in made if names_its_extractor(spec)), "")
    lines = [f"for each extractor of `genbench list extractors`, named METRIC-EXTRACTOR{example}:"] if made else []
    for line, (name, entry) in zip(_entry_lines(of_extractors, False), of_extractors.items(), strict=True):
        own = [spec.name for spec in made if spec.base == name and not names_its_extractor(spec)]
        lines += [line + (f" ({', '.join(own)})" if own else "")]
        lines += [f"      {more}" for more in _describe_spec(entry.spec)] if verbose else []
    others = {name: entry for name, entry in entries.items() if entry.spec not in made and name not in of_extractors}
    return [*lines, *(["without an extractor:"] if made and others else []), *_entry_lines(others, verbose)]


def _entry_lines(entries: dict[str, Entry[Any]], verbose: bool) -> list[str]:
    width = max(map(len, entries), default=0)
    lines = []
    for name, entry in entries.items():
        plugin = entry.plugin
        origin = "" if plugin.origin == "builtin" else f"  [{plugin.distribution} {plugin.version}]"
        lines.append(f"  {name:<{width}}  {entry.spec.summary}{origin}")
        lines += [f"  {'':<{width}}    {line}" for line in _describe_spec(entry.spec)] if verbose else []
    return lines


def _packages(kind: Kind, installed: frozenset[str]) -> list[str]:
    """Return what packages of `plugins/` that are not installed would add, one line for each under a heading."""
    lines: list[str] = []
    for package in not_installed(kind, installed):
        names = ", ".join(package.offers(kind))
        shown = names if len(names) <= _NAMES_WIDTH else f"{names[:_NAMES_WIDTH].rpartition(',')[0]}, …"
        lines.append(f"  {package.distribution} ({package.subject}): {shown}")
    return ["not installed (pip install NAME):", *lines] if lines else []


def _describe_spec(spec: Any) -> list[str]:
    lines: list[str] = []
    if isinstance(spec, ModelSpec):
        shapes = shapes_in_words(spec.image_shapes)
        lines += [f"family {spec.family}, loss {spec.default_loss}, image shapes {shapes}", spec.paper]
        given = f"int (default {spec.latent_dim})" if spec.latent_dim else "the number of values of an image"
        lines.append(f"latent_dim: {given}")
    elif isinstance(spec, LossSpec):
        lines += [f"family {spec.family}", spec.formula, spec.source]
    elif isinstance(spec, FamilySpec):
        for sampler in spec.samplers:
            lines.append(f"sampler {sampler.name}: {sampler.summary}")
            lines += [f"  {option.name}: {option.describe()}" for option in sampler.option_schema]
    elif isinstance(spec, DatasetSpec):
        lines += [f"{'×'.join(map(str, spec.image_shape))}", spec.licence, spec.source]
    elif isinstance(spec, MetricSpec):
        better = "several numbers" if spec.direction == "each" else f"{spec.direction} is better"
        once = "; measured once for each extractor" if spec.per_extractor else ""
        lines.append(better + once + ("" if spec.default else "; measured only when named"))
    if isinstance(spec, ConfigurableSpec):
        lines += [f"{option.name}: {option.describe()}" for option in spec.option_schema]
    return [line for line in lines if line]


def _status(plugin: Plugin) -> str:
    return "quarantined" if plugin.quarantined else "ok"


def _plugin_lines(plugin: Plugin, width: int, verbose: bool) -> list[str]:
    head = f"{plugin.name:<{width}}  {_status(plugin):<11}  {plugin.distribution} {plugin.version}  ({plugin.target})"
    below = []
    if verbose:
        below += [f"origin: {plugin.origin}", *(f"{kind}: {', '.join(own)}" for kind, own in plugin.registers.items())]
    below += [f"note: {note}" for note in plugin.notes]
    if plugin.quarantined:
        below += [f"reason: {plugin.reason}", *(f"| {line}" for line in plugin.traceback.strip().splitlines())]
    return [head, *(f"{'':<{width}}    {line}" for line in below)]
