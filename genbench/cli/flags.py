"""Flags that several verbs have, so that they are the same everywhere."""

from __future__ import annotations

import click

plugin_files = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(),
    metavar="FILE.py",
    help="A plugin in a single file; repeatable.",
)

as_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
