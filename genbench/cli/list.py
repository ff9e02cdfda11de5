"""`genbench list`: list everything that a plan can name."""

from __future__ import annotations

from typing import Any, get_args

import click

from genbench.api.shape_rule import shapes_in_words
from genbench.api.specs import (
    ConfigurableSpec,
    DatasetSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
)
from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.output import echo, print_json
from genbench.errors import UsageError, near_miss
from genbench.plugins.catalogue import Catalogue, Entry, discover
from genbench.plugins.loader import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)


@click.command("list")
@click.argument("kind", required=False, metavar="[KIND]")
@plugin_files
@click.option(
    "--verbose", "-v", is_flag=True, help="Also show options with types, ranges and defaults, papers and formulas."
)
@as_json_flag
def command(kind: str | None, plugins: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """List models, losses, datasets, metrics, families, extractors, reporters or executors."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"Unknown kind '{kind}'.{near_miss(kind, KINDS)}", f"Kinds: {', '.join(KINDS)}.")
    catalogue = discover(plugins)
    kinds = KINDS if kind is None else tuple(k for k in KINDS if k == kind)
    if as_json:
        from genbench.report.plugin_details import describe_entry

        data = {k: [describe_entry(entry) for entry in catalogue.entries(k).values()] for k in kinds}
        print_json(data if kind is None else data[kinds[0]])
        return
    for number, k in enumerate(kinds):
        if kind is None:
            echo(("\n" if number else "") + k)
        _print_entries(catalogue.entries(k), verbose)
    _warn_of_quarantined(catalogue)


def _print_entries(entries: dict[str, Entry[Any]], verbose: bool) -> None:
    width = max((len(name) for name in entries), default=0)
    for name, entry in entries.items():
        plugin = entry.plugin
        origin = "" if plugin.origin == "builtin" else f"  [{plugin.distribution} {plugin.version}]"
        echo(f"  {name:<{width}}  {entry.spec.summary}{origin}")
        if verbose:
            for line in _describe_spec(entry.spec):
                echo(f"  {'':<{width}}    {line}")


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


def _warn_of_quarantined(catalogue: Catalogue) -> None:
    names = [plugin.name for plugin in catalogue.plugins if plugin.quarantined]
    if names:
        echo(f"\nQuarantined: {', '.join(names)}; see `genbench plugin list`.", err=True)
