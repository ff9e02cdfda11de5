"""`genbench plugin`: create, test, show and list plugins; `new` and `show` have modules of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files, set_option
from genbench.cli.output import echo, print_result
from genbench.cli.plugin.plugin_new import new_plugin
from genbench.cli.plugin.plugin_show import show_plugin
from genbench.errors import ExitCode
from genbench.plugins.catalogue import SINGULAR

if TYPE_CHECKING:
    from genbench.testing.check import Outcome

_CODES = {"failed": ExitCode.FAILED_CELLS, "undecided": ExitCode.INCONCLUSIVE}


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
    from genbench.commands.plugins.installed import installed_plugins

    found = installed_plugins(plugins=plugins)
    print_result(found, as_json, text=found.text(verbose))


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
    from genbench.commands.plugins.conformance import check_plugin

    found = check_plugin(
        name, plugins=plugins, kind=kind, only=only, set=settings, timeout=timeout,
        progress=(lambda outcome: None) if as_json else _OutcomePrinter().show,
    )  # fmt: skip
    code = _CODES.get(found.verdict, ExitCode.OK)
    print_result(found, as_json, code, f"\n{found.summary()}\n")  # the outcomes have been printed
    return code


class _OutcomePrinter:
    """Prints each outcome as it arrives."""

    def __init__(self) -> None:
        self._heading = ""

    def show(self, outcome: Outcome) -> None:
        """Print an outcome, and its heading if that is another than before."""
        from genbench.commands.plugins.conformance import outcome_heading, outcome_text

        echo(outcome_text(outcome, self._heading))
        self._heading = outcome_heading(outcome)
