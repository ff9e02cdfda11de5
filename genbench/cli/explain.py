"""`genbench explain`: explain the code at the end of an error message."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import print_result


@click.command("explain")
@click.argument("codes", nargs=-1, metavar="[CODE]…")
@as_json_flag
def command(codes: tuple[str, ...], as_json: bool) -> None:
    """Explain an error by its CODE, such as GB101: causes, remedies, an example. Without a code: list all.

    The code is in the last line of an error message, and beside each failed cell of a run. Nothing is fetched.
    """
    from genbench.commands.first_steps.error_codes import explain

    print_result(explain(*codes), as_json)
