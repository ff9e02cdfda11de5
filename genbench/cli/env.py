"""`genbench env`: show the hardware and software that results depend on."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import print_result


@click.command("env")
@as_json_flag
def command(as_json: bool) -> None:
    """Show processor, memory, devices and versions, which results depend on."""
    from genbench.commands.checks.machine import describe_machine

    print_result(describe_machine(), as_json)
