"""`genbench plugin new`: create an installable package with a working example."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.output import echo
from genbench.scaffold.project import FAMILIES, KINDS


@click.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="model", show_default=True, help="What the plugin provides.")
@click.option("--family", type=click.Choice(FAMILIES), help="Family of a model or loss. [default: adversarial]")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The new folder. [default: NAME]")
def new_plugin(name: str, kind: str, family: str | None, out: Path | None) -> None:
    """Create an installable package with a working example NAME.

    \b
    genbench plugin new my-variant
    genbench plugin new my-loss --kind loss --family variational
    """
    from genbench.commands.plugins import creation

    echo(creation.new_plugin(name, kind, family=family, out=out), nl=False)
