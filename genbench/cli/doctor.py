"""`genbench doctor`: check this machine and installation; what a bug report carries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import echo, print_result
from genbench.errors import ExitCode

if TYPE_CHECKING:
    from genbench.doctor.report import CheckReport


@click.command("doctor")
@click.option(
    "--device",
    default="auto",
    metavar="D",
    help="auto, cpu, cuda, cuda:N, mps or xpu.",
    show_default=True,
)
@click.option("--only", multiple=True, metavar="CHECK,…", help="Only these checks; repeatable.")
@click.option("--quick", is_flag=True, help="Leave out the checks that take longer than a few seconds.")
@as_json_flag
def command(device: str, only: tuple[str, ...], quick: bool, as_json: bool) -> int:
    """Check this machine and installation: each finding with its figures, and a remedy where something is wrong.

    Each check runs in a process of its own. The exit code is 0 if no check failed, and 5 otherwise. Attach the output
    of `genbench doctor --json` to bug reports.
    """
    from genbench.commands.checks.machine import check_machine
    from genbench.doctor.report import lines

    def show_start(name: str, width: int) -> None:
        if not as_json:
            echo(f"{name:<{width}}", nl=False)
            sys.stdout.flush()

    def show(found: CheckReport, width: int) -> None:
        if as_json:
            echo(f"{found.name}: {found.status}", err=True)
            return
        for line in lines(found, width):
            echo(line)
        sys.stdout.flush()

    found = check_machine(device, only=only, quick=quick, on_start=show_start, on_report=show)
    code = ExitCode.OK if found.passed else ExitCode.FAILED_CELLS
    print_result(found, as_json, code, f"{found.summary()}\n")  # the rows have been printed
    return code
