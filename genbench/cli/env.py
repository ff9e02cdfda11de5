"""`genbench env`: what is known of this machine."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag


@click.command("env")
@as_json_flag
def command(as_json: bool) -> None:
    """Show processor, memory, devices and versions: what numbers depend on."""
    from genbench.measure import machine
    from genbench.runner.pool import WorkerPool
    from genbench.runner.supervisor import ask_devices

    with WorkerPool() as pool:
        facts = {**machine.describe(), "default_threads": machine.default_threads(), **ask_devices(pool)}
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for key, inner in value.items():
                click.echo(f"  {key}: {inner}")
        else:
            click.echo(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
