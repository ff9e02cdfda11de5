"""`genbench plugin`: create, test, show and list plugins; `new` and `show` have modules of their own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files, set_option
from genbench.cli.output import echo, print_json
from genbench.cli.plugin.plugin_new import new_plugin
from genbench.cli.plugin.plugin_show import show_plugin
from genbench.errors import ExitCode, UsageError, near_miss
from genbench.planning.request import parse_setting
from genbench.plugins.catalogue import SINGULAR, discover
from genbench.plugins.loader import Kind

if TYPE_CHECKING:
    from genbench.testing.check import Outcome


@click.group("plugin", cls=NearMissGroup)
def command() -> None:
    """Create, test, show or list plugins."""


command.add_command(new_plugin)
command.add_command(show_plugin)


@command.command("list")
@plugin_files
@click.option("--verbose", "-v", is_flag=True, help="Also show the origin of each plugin and what it registers.")
@as_json_flag
def list_plugins(plugins: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """List installed plugins.

    Shows distribution, version and status of each, and the traceback of quarantined ones.
    """
    found = discover(plugins).plugins
    if as_json:
        data = [{**dataclasses.asdict(p), "status": "quarantined" if p.quarantined else "ok"} for p in found]
        print_json(data)
        return
    width = max(len(p.name) for p in found)
    for plugin in found:
        status = "quarantined" if plugin.quarantined else "ok"
        echo(f"{plugin.name:<{width}}  {status:<11}  {plugin.distribution} {plugin.version}  ({plugin.target})")
        if verbose:
            echo(f"{'':<{width}}    origin: {plugin.origin}")
            for kind, names in plugin.registers.items():
                echo(f"{'':<{width}}    {kind}: {', '.join(names)}")
        for note in plugin.notes:
            echo(f"{'':<{width}}    note: {note}")
        if plugin.quarantined:
            echo(f"{'':<{width}}    reason: {plugin.reason}")
            for line in plugin.traceback.strip().splitlines():
                echo(f"{'':<{width}}    | {line}")


@command.command("test")
@click.argument("name")
@plugin_files
@click.option("--kind", type=click.Choice([*SINGULAR.values()]), help="Kind of NAME, if a model and a loss share it.")
@click.option("--only", "only", multiple=True, metavar="RULE", help="Check this rule only; repeatable.")
@set_option("the plugin under test")
@click.option("--timeout", type=float, default=120.0, show_default=True, metavar="SECONDS", help="Time limit per rule.")
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
    """Test a plugin against the rules of docs/conformance.md.

    NAME is a plugin, a distribution, a file ending in .py, or a model, loss, dataset, metric, family, extractor,
    reporter or executor. The exit code is 0 if no rule is broken, 5 if one is, and 3 if one is undecided because its
    time ran out.

    \b
    genbench plugin test my_variant.py
    genbench plugin test my-variant --plugin my_variant.py --only no-host-reads
    """
    from genbench.testing.check import Verdict
    from genbench.testing.in_child import examine_isolated
    from genbench.testing.targets import find_targets

    _require_rules(only)
    if not timeout > 0:
        raise UsageError(f"--timeout {timeout:g} is not positive.", "Give a number of seconds above 0.")
    if name.endswith(".py"):
        name = str(Path(name).expanduser().resolve())
        plugins = (*plugins, name)
    given: dict[str, dict[str, object]] = {}
    for owner, option, value in map(parse_setting, settings):
        given.setdefault(owner, {})[option] = value
    chosen: Kind | None = next((k for k, singular in SINGULAR.items() if singular == kind), None)
    targets = find_targets([name], discover(plugins), chosen, given)  # type: ignore[arg-type]
    show = (lambda outcome: None) if as_json else _OutcomePrinter().show
    for refusal in targets.refusals:
        show(refusal)
    outcomes = [*targets.refusals, *examine_isolated(targets, only, timeout, show)]
    if as_json:
        rules = map(_describe_rule, outcomes)
        # "mend" is the former name of "fix", kept for scripts that read it.
        data = [
            {**dataclasses.asdict(outcome), **rule, "mend": rule["fix"]}
            for outcome, rule in zip(outcomes, rules, strict=True)
        ]
        print_json(data)
    else:
        counts = Counter(outcome.verdict for outcome in outcomes)
        shown = [verdict for verdict in get_args(Verdict) if verdict != "undecided" or counts[verdict]]
        echo("\n" + ", ".join(f"{counts[verdict]} {verdict}" for verdict in shown))
    verdicts = {outcome.verdict for outcome in outcomes}
    if "failed" in verdicts:
        return ExitCode.FAILED_CELLS
    return ExitCode.INCONCLUSIVE if "undecided" in verdicts else ExitCode.OK


class _OutcomePrinter:
    """Prints one line per outcome, and below a failure why the rule matters and how to fix it."""

    def __init__(self) -> None:
        self._heading = ""

    def show(self, outcome: Outcome) -> None:
        """Print an outcome as it arrives."""
        heading = f"{SINGULAR.get(outcome.kind, 'plugin')} {outcome.subject}"  # type: ignore[call-overload]
        if heading != self._heading:
            echo(("\n" if self._heading else "") + heading)
            self._heading = heading
        reason = outcome.reason.replace("\n", "\n           ")
        echo(f"  {outcome.verdict:<7}  {outcome.check}{': ' if reason else ''}{reason}")
        if outcome.verdict in ("failed", "undecided"):
            for key, text in _describe_rule(outcome).items():
                echo(f"{'':<11}{key + ':':<6}{text}")


def _describe_rule(outcome: Outcome) -> dict[str, str]:
    from genbench.testing.checks import BY_NAME

    rule = BY_NAME[outcome.check]
    return {"rule": rule.what, "why": rule.why, "fix": outcome.fix or rule.fix}


def _require_rules(names: tuple[str, ...]) -> None:
    from genbench.testing.checks import BY_NAME

    for name in names:
        if name not in BY_NAME:
            raise UsageError(f"Unknown rule '{name}'.{near_miss(name, BY_NAME)}", f"Rules: {', '.join(BY_NAME)}.")
