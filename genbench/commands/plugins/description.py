"""`genbench.describe_plugin`: options, paper, parameters and stored results of what a plugin registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.commands.arguments import PluginSource, plugin_paths
from genbench.commands.printed import Printable
from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import SINGULAR, Catalogue, discover
from genbench.plugins.loader import SPEC_TYPES, Kind, Plugin
from genbench.report.plugin_details import describe_entry, stored_results, text_of
from genbench.results.store import find_runs, read_runs
from genbench.train.parameter_counts import count_in_child

# Results in the repository; an installed genbench has none.
REFERENCE = Path(__file__).parents[3] / "results" / "reference"


@dataclass(frozen=True, repr=False)
class PluginDescription(Printable):
    """Everything known about a plugin, or about one thing that it registers."""

    described: tuple[tuple[Kind, dict[str, Any]], ...]  # kind and plain data of each thing
    quarantined: tuple[str, ...]  # plugins of this name that could not be used, with the reason

    def text(self) -> str:
        """Return what the command prints."""
        return "\n\n".join(text_of(kind, data) for kind, data in self.described) + "\n"

    def as_data(self) -> list[dict[str, Any]]:
        """Return each thing as plain data."""
        return [data for _, data in self.described]


def describe_plugin(
    name: str, *, plugins: PluginSource | Sequence[PluginSource] = (), run: str | Path | Sequence[str | Path] = ()
) -> PluginDescription:
    """Return options, paper, parameters and stored results of something, as `genbench plugin show`.

    Models are built in a child process to count their parameters. Raises `UsageError` with the nearest name.

    Args:
        name: a plugin, a distribution, a file ending in .py, or a model, loss, dataset, metric, family, extractor or
            reporter.
        plugins: plugin files, or imported modules with a file of their own.
        run: run directories whose results are shown; by default, those of the repository.
    """
    files = plugin_paths(plugins)
    if name.endswith(".py"):
        name = str(Path(name).expanduser().resolve())
        files = [*files, name]
    catalogue = discover(files)
    found, quarantined = _find(name, catalogue)
    runs = [run] if isinstance(run, str | Path) else run
    stored = read_runs(runs or sorted(find_runs(REFERENCE)))
    counts: dict[str, list[Any]] = {model: [] for kind, model in found if kind == "models"}
    for count in count_in_child([*counts], catalogue):
        counts[count.model].append(
            {"image_shape": count.image_shape, "networks": count.networks, "reason": count.reason}
        )
    described = []
    for kind, spec in found:
        data = {"kind": SINGULAR[kind], **describe_entry(catalogue.entries(kind)[spec])}
        if kind == "models":
            data["parameters"] = counts[spec]
        if kind not in ("extractors", "reporters", "executors"):
            data["results"] = stored_results(kind, spec, stored)
        described.append((kind, data))
    return PluginDescription(tuple(described), tuple(plugin.explanation for plugin in quarantined))


def _find(name: str, catalogue: Catalogue) -> tuple[Sequence[tuple[Kind, str]], list[Plugin]]:
    """Return what the name refers to, as pairs of kind and name, and the quarantined plugins that it refers to."""
    plugins = [p for p in catalogue.plugins if name in (p.name, p.target) or name == p.distribution != "genbench"]
    found = [
        (kind, spec)
        for plugin in plugins
        if not plugin.quarantined
        for kind in SPEC_TYPES
        for spec in plugin.registers.get(kind, [])
    ]
    found = found or [(kind, name) for kind in SPEC_TYPES if name in catalogue.entries(kind)]
    quarantined = [p for p in plugins if p.quarantined] + [
        p for kind in SPEC_TYPES for p in catalogue.quarantined_claims(kind, name) if p not in plugins
    ]
    if not found and quarantined:
        raise UsageError(
            f"'{name}' belongs to the {quarantined[0].explanation}", "See `genbench plugin list`.", code="GB202"
        )
    if not found:
        known = {n for kind in SPEC_TYPES for n in catalogue.entries(kind)} | {p.name for p in catalogue.plugins}
        raise UsageError(f"Nothing is named '{name}'.{near_miss(name, known)}", "See `genbench list`.", code="GB101")
    return found, quarantined
