"""Metrics that are to be measured: each with the values of its options and the plugin that it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from genbench.api.options import OptionValue, resolve_options
from genbench.api.specs import MetricSpec
from genbench.errors import UsageError
from genbench.plugins.catalogue import Catalogue, Entry
from genbench.plugins.loader import Plugin
from genbench.plugins.metric_names import FeatureMetric
from genbench.results.schema import PluginOrigin

MetricOptions = Mapping[str, Mapping[str, OptionValue]]  # name of a metric -> option -> value


@dataclass(frozen=True)
class ChosenMetric:
    """A metric that is to be measured."""

    spec: MetricSpec
    options: Mapping[str, OptionValue] = field(default_factory=dict)  # the value of every option
    plugin: str = ""  # distribution, or file, and version, which its values depend on; empty: genbench itself
    own: bool = False  # its code is genbench's
    problem: str = ""  # why it cannot be measured as planned


def chosen_metrics(
    names: Iterable[str],
    catalogue: Catalogue,
    options: MetricOptions | UnsetType = UNSET,
    planned: Mapping[str, PluginOrigin] | UnsetType = UNSET,
) -> list[ChosenMetric]:
    """Return these metrics of the catalogue.

    Args:
        names: of metrics.
        catalogue: where they are.
        options: values by metric; those that are not given are the defaults.
        planned: the origins with which they were planned. The plugin of an extractor is named only if it has changed
            since, because the extractor's own protocol says what its values depend on.
    """
    found = []
    for name in names:
        entry = catalogue.require("metrics", name)
        values, problem = _options(entry.spec, (options or {}).get(name, {}))
        code = catalogue.metrics[entry.spec.base].plugin if isinstance(entry.spec, FeatureMetric) else entry.plugin
        own = code.origin == "builtin"
        parts = [code] if not own else []
        for key, plugin in origins(name, entry).items():
            before = (planned or {}).get(key)
            parts += [plugin] if before is not None and before.version != plugin.version else []
        titles = dict.fromkeys(f"{plugin.distribution} {plugin.version}" for plugin in parts)
        found.append(ChosenMetric(entry.spec, values, ", ".join(titles), own, problem))
    return found


def _options(spec: MetricSpec, given: Mapping[str, OptionValue]) -> tuple[dict[str, OptionValue], str]:
    """Return the value of every option; if the metric has changed since it was planned, why it cannot have them."""
    try:
        return resolve_options(spec.option_schema, given, spec.name), ""
    except UsageError as error:
        return {}, f"its options have changed since it was planned: {error.cause}"


def changed_origins(
    planned: Mapping[str, PluginOrigin] | UnsetType, catalogue: Catalogue
) -> Iterator[tuple[str, PluginOrigin, Plugin]]:
    """Yield each metric with a plugin that has changed since it was planned: its name, the origin then, the plugin now.

    `planned` is the `metric_origins` of an identity.
    """
    for key, before in (planned or {}).items():
        name = key.partition(":")[0]
        now = origins(name, catalogue.metrics[name]).get(key) if name in catalogue.metrics else None
        if now is not None and now.version != before.version:
            yield name, before, now


def origins(name: str, entry: Entry[MetricSpec]) -> dict[str, Plugin]:
    """Return the third-party plugins whose code a metric runs, by the key of their origin in an identity."""
    plugins = {name: entry.plugin, f"{name}:extractor": entry.extractor}
    return {key: plugin for key, plugin in plugins.items() if plugin is not None and plugin.origin != "builtin"}


def options_of(
    specs: Iterable[MetricSpec], settings: MetricOptions, planned: MetricOptions | UnsetType = UNSET
) -> dict[str, dict[str, OptionValue]]:
    """Return the value of every option of these metrics, by metric, from settings by name; raise `UsageError`.

    A metric with an extractor has the options of the metric without one, unless it is named itself. `planned` are the
    options of a plan, which replace the defaults.
    """
    found: dict[str, dict[str, OptionValue]] = {}
    for spec in specs:
        if spec.option_schema:
            base = spec.base if isinstance(spec, FeatureMetric) else spec.name
            owner = spec.name if spec.name in settings else base
            before = (planned or {}).get(spec.name, {})
            given = {**before, **settings.get(base, {}), **settings.get(spec.name, {})}
            found[spec.name] = resolve_options(spec.option_schema, given, owner)
    return found
