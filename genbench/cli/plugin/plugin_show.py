"""`genbench plugin show`: show everything known about a plugin, or about one thing that it registers."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.output import echo, print_result


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
    from genbench.commands.plugins.description import describe_plugin

    found = describe_plugin(name, plugins=plugins, run=runs)
    print_result(found, as_json)
    for explanation in found.quarantined:
        echo(f"The {explanation}\nSee `genbench plugin list` for the traceback.", err=True)
