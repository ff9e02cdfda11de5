"""`genbench schema`: print the format of a run directory as JSON Schema."""

from __future__ import annotations

import click

from genbench.cli.output import print_json


@click.command("schema")
@click.argument("record", required=False, metavar="[cell|reference|run|tuning]")
def command(record: str | None) -> None:
    """Print the JSON Schema of one kind of result file, or of all in one object."""
    import msgspec

    from genbench.errors import UsageError, near_miss
    from genbench.results.schema import RECORDS as OF_RUNS
    from genbench.results.tuning import TuningRecord

    records = {**OF_RUNS, "tuning": TuningRecord}
    if record is not None and record not in records:
        raise UsageError(f"Unknown record '{record}'.{near_miss(record, records)}", f"Records: {', '.join(records)}.")
    schemas = {name: msgspec.json.schema(kind) for name, kind in records.items()}
    chosen = schemas if record is None else schemas[record]
    print_json(chosen)
