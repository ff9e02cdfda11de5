"""Flags that several verbs have, so that they are the same everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from genbench.builtin.extractors.inception_weights import VARIABLE
from genbench.errors import UsageError

plugin_files = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=click.Path(),
    metavar="FILE.py",
    help="A plugin in a single file; repeatable.",
)

as_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

weights_flag = click.option(
    "--weights",
    type=click.Path(),
    metavar="PATH",
    help=f"The Inception weights. [${VARIABLE}, else torch's cache, else downloaded]",
)


def use_weights(path: str | None) -> None:
    """Let this process, and the workers that it starts, take the Inception weights from this file."""
    if path is None:
        return
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"--weights {path} is not a file.", "Name the file of the Inception weights.")
    os.environ[VARIABLE] = str(file.resolve())
