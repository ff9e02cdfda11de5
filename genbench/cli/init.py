"""`genbench init`: write a commented plan file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from genbench.cli.flags import plugin_files
from genbench.cli.output import echo


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default="plan.toml", metavar="[PLAN]")
@click.option("--models", help="Models to compare. [default: gan,dcgan,vae]")
@click.option("--losses", help="Losses. [default: each model's own]")
@click.option("--datasets", help="Datasets; folder:PATH for your own images. [default: fashion-mnist-mini]")
@click.option("--seeds", help="One cell each. [default: 0]")
@click.option("--profile", help="Budget: smoke, quick, standard or full. [default: quick]")
@click.option("--gate", is_flag=True, help="Also write a workflow that compares the speed of pull requests.")
@plugin_files
def command(path: Path, plugins: tuple[str, ...], gate: bool, **given: Any) -> None:
    """Write a commented PLAN file. On a terminal and without flags, it asks what to compare.

    \b
    genbench init
    genbench init faces.toml --models dcgan,vae --datasets folder:photos --seeds 0,1,2
    """
    from genbench.commands.first_steps.new_plan import new_plan

    chosen = {name: value for name, value in given.items() if value is not None}
    if not chosen and not gate and sys.stdin.isatty() and sys.stdout.isatty():
        chosen, gate = _ask()
    echo(new_plan(path, plugins=plugins, gate=gate, **chosen), nl=False)


def _ask() -> tuple[dict[str, Any], bool]:
    from genbench.commands.first_steps.new_plan import questions

    asked = questions()
    chosen = {name: click.prompt(question, default=default) for name, (question, default) in asked.items()}
    return chosen, click.confirm("Also write a workflow that compares the speed of pull requests?", default=False)
