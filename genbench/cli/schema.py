"""`genbench schema`: print the format of a run directory as JSON Schema."""

from __future__ import annotations

import click

from genbench.cli.output import print_json


@click.command("schema")
@click.argument("record", required=False, metavar="[cell|reference|run|race|tuning]")
def command(record: str | None) -> None:
    """Print the JSON Schema of one kind of result file, or of all in one object."""
    from genbench.commands.schema import json_schema

    print_json(json_schema(record))
