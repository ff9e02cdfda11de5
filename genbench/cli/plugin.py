"""`genbench plugin`: what is installed, what it registers, and why something is quarantined."""

from __future__ import annotations

import dataclasses

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files
from genbench.plan.catalogue import discover


@click.group("plugin", cls=NearMissGroup)
def command() -> None:
    """List plugins, and why one is quarantined."""


@command.command("list")
@plugin_files
@click.option("--verbose", "-v", is_flag=True, help="What each plugin registers.")
@as_json_flag
def list_plugins(plugins: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """List plugins with distribution, version and status; quarantined ones with their traceback."""
    found = discover(plugins).plugins
    if as_json:
        import msgspec

        data = [{**dataclasses.asdict(p), "status": "quarantined" if p.quarantined else "ok"} for p in found]
        click.echo(msgspec.json.format(msgspec.json.encode(data)).decode())
        return
    width = max(len(p.name) for p in found)
    for plugin in found:
        status = "quarantined" if plugin.quarantined else "ok"
        click.echo(f"{plugin.name:<{width}}  {status:<11}  {plugin.distribution} {plugin.version}  ({plugin.target})")
        if verbose:
            for kind, names in plugin.registers.items():
                click.echo(f"{'':<{width}}    {kind}: {', '.join(names)}")
        for note in plugin.notes:
            click.echo(f"{'':<{width}}    note: {note}")
        if plugin.quarantined:
            click.echo(f"{'':<{width}}    reason: {plugin.reason}")
            for line in plugin.traceback.strip().splitlines():
                click.echo(f"{'':<{width}}    | {line}")
