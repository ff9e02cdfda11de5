"""`genbench list`: list everything that a plan can name."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.output import echo, print_result


@click.command("list")
@click.argument("kind", required=False, metavar="[KIND]")
@plugin_files
@click.option(
    "--verbose", "-v", is_flag=True, help="Also show options with types, ranges and defaults, papers and formulas."
)
@as_json_flag
def command(kind: str | None, plugins: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """List models, losses, datasets, metrics, families, extractors, reporters or executors."""
    from genbench.commands.plugins.installed import catalogue

    found = catalogue(kind, plugins=plugins)
    print_result(found, as_json, text=found.text(verbose))
    if found.quarantined and not as_json:
        echo(f"\nQuarantined: {', '.join(found.quarantined)}; see `genbench plugin list`.", err=True)
