"""`genbench doctor`: check this machine and installation; what a bug report carries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import echo, print_json, record_exit_code
from genbench.errors import ExitCode

if TYPE_CHECKING:
    from genbench.doctor.checklist import Check
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
    from genbench.commands.device import parse_device
    from genbench.doctor.checklist import chosen
    from genbench.doctor.isolated import examine_all
    from genbench.doctor.report import as_data, lines, summary

    checks = chosen([name.strip() for text in only for name in text.split(",") if name.strip()], quick)
    width = max(len(check.name) for check in checks)

    def show_start(check: Check) -> None:
        if not as_json:
            echo(f"{check.name:<{width}}", nl=False)
            sys.stdout.flush()

    def show(found: CheckReport) -> None:
        if as_json:
            echo(f"{found.name}: {found.status}", err=True)
            return
        for line in lines(found, width):
            echo(line)
        sys.stdout.flush()

    report = examine_all(checks, parse_device(device), show_start, show)
    code = ExitCode.OK if report.passed else ExitCode.FAILED_CELLS
    record_exit_code(code)
    if as_json:
        print_json(as_data(report))
    else:
        echo(summary(report))
    return code
