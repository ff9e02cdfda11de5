"""`genbench plugin`: what is installed, why something is quarantined, and whether a plugin keeps the rules.

`new` and `show` are in modules of their own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.plugin_new import new_plugin
from genbench.cli.plugin_show import show_plugin
from genbench.errors import ExitCode, UsageError, near_miss
from genbench.plan.request import parse_setting
from genbench.plugins.catalogue import SINGULAR, discover
from genbench.plugins.loader import Kind

if TYPE_CHECKING:
    from genbench.testing.check import Outcome


@click.group("plugin", cls=NearMissGroup)
def command() -> None:
    """Write a new plugin, test one against the rules, show or list what is installed."""


command.add_command(new_plugin)
command.add_command(show_plugin)


@command.command("list")
@plugin_files
@click.option("--verbose", "-v", is_flag=True, help="Where each plugin comes from, and what it registers.")
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
            click.echo(f"{'':<{width}}    origin: {plugin.origin}")
            for kind, names in plugin.registers.items():
                click.echo(f"{'':<{width}}    {kind}: {', '.join(names)}")
        for note in plugin.notes:
            click.echo(f"{'':<{width}}    note: {note}")
        if plugin.quarantined:
            click.echo(f"{'':<{width}}    reason: {plugin.reason}")
            for line in plugin.traceback.strip().splitlines():
                click.echo(f"{'':<{width}}    | {line}")


@command.command("test")
@click.argument("name")
@plugin_files
@click.option("--kind", type=click.Choice([*SINGULAR.values()]), help="Where a model and a loss share a name.")
@click.option("--only", "only", multiple=True, metavar="RULE", help="Ask this rule only; repeatable.")
@click.option("--set", "settings", multiple=True, metavar="NAME.OPTION=VALUE", help="An option; repeatable.")
@click.option("--timeout", type=float, default=120.0, metavar="SECONDS", help="Hard limit for one rule. [120]")
@as_json_flag
def test_plugin(
    name: str,
    plugins: tuple[str, ...],
    kind: str | None,
    only: tuple[str, ...],
    settings: tuple[str, ...],
    timeout: float,
    as_json: bool,
) -> int:
    """Try a plugin, or one thing that it registers, against the rules of docs/conformance.md.

    NAME is a plugin, a distribution, a file ending in .py, or a model, loss, dataset, metric, family, extractor or
    reporter.

    \b
    genbench plugin test my_variant.py
    genbench plugin test my-variant --plugin my_variant.py --only no-host-reads
    """
    from genbench.testing.in_child import examine_isolated
    from genbench.testing.targets import find_targets

    _require_rules(only)
    if not timeout > 0:
        raise UsageError(f"--timeout {timeout:g} leaves no time.", "Give a number of seconds above 0.")
    if name.endswith(".py"):
        name = str(Path(name).expanduser().resolve())
        plugins = (*plugins, name)
    given: dict[str, dict[str, object]] = {}
    for owner, option, value in map(parse_setting, settings):
        given.setdefault(owner, {})[option] = value
    chosen: Kind | None = next((k for k, singular in SINGULAR.items() if singular == kind), None)
    targets = find_targets([name], discover(plugins), chosen, given)  # type: ignore[arg-type]
    show = (lambda outcome: None) if as_json else _Lines().show
    for refusal in targets.refusals:
        show(refusal)
    outcomes = [*targets.refusals, *examine_isolated(targets, only, timeout, show)]
    if as_json:
        import msgspec

        rules = map(_rule, outcomes)
        # `mend` is the former name of `fix`, for scripts that read it.
        data = [
            {**dataclasses.asdict(outcome), **rule, "mend": rule["fix"]}
            for outcome, rule in zip(outcomes, rules, strict=True)
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(data)).decode())
    else:
        counts = {
            verdict: len([o for o in outcomes if o.verdict == verdict]) for verdict in ("ok", "failed", "skipped")
        }
        click.echo("\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return ExitCode.FAILED_CELLS if any(outcome.verdict == "failed" for outcome in outcomes) else ExitCode.OK


class _Lines:
    """Prints one line for each outcome, and beneath a failure why it matters and how to fix it."""

    def __init__(self) -> None:
        self._heading = ""

    def show(self, outcome: Outcome) -> None:
        """Print an outcome as it arrives."""
        heading = f"{SINGULAR.get(outcome.kind, 'plugin')} {outcome.subject}"  # type: ignore[call-overload]
        if heading != self._heading:
            click.echo(("\n" if self._heading else "") + heading)
            self._heading = heading
        reason = outcome.reason.replace("\n", "\n           ")
        click.echo(f"  {outcome.verdict:<7}  {outcome.check}{': ' if reason else ''}{reason}")
        if outcome.verdict == "failed":
            for word, text in _rule(outcome).items():
                click.echo(f"{'':<11}{word + ':':<6}{text}")


def _rule(outcome: Outcome) -> dict[str, str]:
    from genbench.testing.checks import BY_NAME

    rule = BY_NAME[outcome.check]
    return {"rule": rule.what, "why": rule.why, "fix": rule.fix}


def _require_rules(names: tuple[str, ...]) -> None:
    from genbench.testing.checks import BY_NAME

    for name in names:
        if name not in BY_NAME:
            raise UsageError(f"There is no rule '{name}'.{near_miss(name, BY_NAME)}", f"Rules: {', '.join(BY_NAME)}.")
