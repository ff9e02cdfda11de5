"""The command line: one verb, one file. A verb's module is imported only when it is used."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any

import click

from genbench import __version__
from genbench.errors import ExitCode, GenbenchError, near_miss

VERBS: dict[str, str] = {
    "run": "Train and measure models, and write the comparison table.",
    "list": "List models, losses, datasets, metrics, families or extractors.",
    "show": "Show what a run holds: plan, status, files; or one cell.",
    "table": "Print the comparison table of one or more runs.",
    "report": "Write table, contact sheet and report.html of a run again.",
    "plugin": "List plugins, and why one is quarantined.",
    "env": "Show what is known of this machine.",
    "schema": "Print the JSON Schema of the result files.",
}

EPILOG = """\b
Exit codes: 0 fine, 2 usage, 5 no data or failed cells, 70 a bug in genbench, 130 interrupted.
First steps: genbench run --models gan,dcgan,vae      genbench list      genbench run --help"""


class Verbs(click.Group):
    """A group that knows its verbs by name and loads each when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which a user meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of a verb and return its command."""
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"genbench.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the near miss."""
        if args and args[0] not in VERBS:
            raise click.UsageError(f"There is no verb '{args[0]}'.{near_miss(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genbench")
def cli() -> None:
    """Compare generative models: how fast they train and how good they get."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a documented code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        result: Any = cli.main(args=arguments, prog_name="genbench", standalone_mode=False)
        code = int(result) if isinstance(result, int) else ExitCode.OK
        sys.stdout.flush()
        return code
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except GenbenchError as error:
        click.echo(f"Error: {error.cause}", err=True)
        if error.cure:
            click.echo(error.cure, err=True)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python must not complain when it flushes at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    except Exception:
        import traceback

        traceback.print_exc()
        click.echo("This is a bug in genbench; please report it with the lines above.", err=True)
        return ExitCode.BUG
