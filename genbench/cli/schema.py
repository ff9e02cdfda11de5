"""`genbench schema`: print the format of a run directory as JSON Schema."""

from __future__ import annotations

import click

from genbench.cli.output import print_json


@click.command("schema")
@click.argument("record", required=False, metavar="[cell|reference|run|race]")
def command(record: str | None) -> None:
    """Print the JSON Schema of one kind of result file, or of all of them in one object."""
    import msgspec

    from genbench.errors import UsageError, near_miss
    from genbench.results.schema import RECORDS

    if record is not None and record not in RECORDS:
        raise UsageError(f"Unknown record '{record}'.{near_miss(record, RECORDS)}", f"Records: {', '.join(RECORDS)}.")
    schemas = {name: msgspec.json.schema(kind) for name, kind in RECORDS.items()}
    chosen = schemas if record is None else schemas[record]
    print_json(chosen)
