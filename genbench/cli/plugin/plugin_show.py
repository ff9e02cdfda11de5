"""`genbench plugin show`: show everything known about a plugin, or about one thing that it registers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.output import echo, print_json
from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import SINGULAR, Catalogue, discover
from genbench.plugins.loader import SPEC_TYPES, Kind, Plugin

# Results in the repository; an installed genbench has none.
REFERENCE = Path(__file__).parents[3] / "results" / "reference"


@click.command("show")
@click.argument("name")
@plugin_files
@click.option(
    "--run", "runs", multiple=True, type=click.Path(), metavar="RUN", help="Show results from this run; repeatable."
)
@as_json_flag
def show_plugin(name: str, plugins: tuple[str, ...], runs: tuple[str, ...], as_json: bool) -> None:
    """Show options, paper, parameters and stored results of NAME.

    NAME is a plugin, a distribution, a file ending in .py, or a model, loss, dataset, metric, family, extractor,
    reporter or executor.
    """
    from genbench.report.plugin_details import describe_entry, stored_results, text_of
    from genbench.results.store import find_runs, read_runs
    from genbench.train.parameter_counts import count_in_child

    if name.endswith(".py"):
        name = str(Path(name).expanduser().resolve())
        plugins = (*plugins, name)
    catalogue = discover(plugins)
    found, quarantined = _find(name, catalogue)
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
    if as_json:
        print_json([data for _, data in described])
    else:
        echo("\n\n".join(text_of(kind, data) for kind, data in described))
    for plugin in quarantined:
        echo(f"The {plugin.explanation}\nSee `genbench plugin list` for the traceback.", err=True)


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
        raise UsageError(f"'{name}' belongs to the {quarantined[0].explanation}", "See `genbench plugin list`.")
    if not found:
        known = {n for kind in SPEC_TYPES for n in catalogue.entries(kind)} | {p.name for p in catalogue.plugins}
        raise UsageError(f"Nothing is named '{name}'.{near_miss(name, known)}", "See `genbench list`.")
    return found, quarantined
