"""`genbench env`: show the hardware and software that results depend on."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import echo, print_json


@click.command("env")
@as_json_flag
def command(as_json: bool) -> None:
    """Show processor, memory, devices and versions, which results depend on."""
    from genbench.measure import machine
    from genbench.runner.pool import WorkerPool
    from genbench.runner.supervisor import ask_devices

    with WorkerPool() as pool:
        facts = {**machine.describe(), "default_threads": machine.default_threads(), **ask_devices(pool)}
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            echo(f"{name}:")
            for key, inner in value.items():
                echo(f"  {key}: {inner}")
        else:
            echo(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
