"""The command line: one verb, one file. A verb's module is imported only when it is used.

Once it is, the verb's name in this package is that module: nothing here may be called `run`, nor use `list`.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import select
import sys
from typing import Any

import click

from genbench import __version__
from genbench.errors import ExitCode, GenbenchError, near_miss

VERBS: dict[str, str] = {
    "run": "Train and measure models, and write the comparison table.",
    "list": "List models, losses, datasets, metrics, families, extractors or reporters.",
    "show": "Show what a run holds: plan, status, files; or one cell.",
    "sample": "Make images with a trained cell: samples, interpolations, reconstructions.",
    "fid": "Measure how far one set of images is from another.",
    "table": "Print the comparison table of one or more runs.",
    "report": "Write table, contact sheet and report.html of a run again.",
    "ab": "Compare the speed of two versions of the code, live.",
    "compare": "Compare two stored results, quantity by quantity.",
    "check": "Hold a run against a baseline: the gate of a CI job.",
    "baseline": "Make the file that `check` holds runs against.",
    "calibrate": "Find what `ab` can see on this machine.",
    "history": "Show speed and quality over many runs, and where they changed.",
    "data": "Check a dataset or a folder of images before training on it.",
    "metrics": "Certify an extractor of features, or check a fast path of it.",
    "plugin": "Write a new plugin, test one against the rules, show or list what is installed.",
    "env": "Show what is known of this machine.",
    "schema": "Print the JSON Schema of the result files.",
}

EPILOG = """\b
Exit codes: 0 fine, 1 a check said no, 2 usage, 3 inconclusive,
            4 not comparable, 5 no data or failed cells, 70 a bug in genbench, 130 interrupted.
First steps: genbench run      genbench list      genbench run --help"""


class NearMissGroup(click.Group):
    """A group that answers a misspelt verb with the near miss."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or name the near miss."""
        known = self.list_commands(ctx)
        if args and args[0] not in known:
            raise click.UsageError(f"There is no verb '{args[0]}'.{near_miss(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)


class CommandGroup(NearMissGroup):
    """A group that knows its verbs by name and loads each when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which a user meets them."""
        return [*VERBS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of a verb and return its command."""
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"genbench.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of verbs without importing any."""
        with formatter.section("CommandGroup"):
            formatter.write_dl([*VERBS.items()])


@click.group(cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genbench")
def cli() -> None:
    """Compare generative models: how fast they train and how good they get."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a documented code."""
    sys.exit(invoke(arguments))


def invoke(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    context: click.Context | None = None
    try:
        # Not cli.main(): click would end a broken pipe with exit code 1, which means "regressed" here.
        with cli.make_context("genbench", [*(sys.argv[1:] if arguments is None else arguments)]) as context:
            result: Any = cli.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitCode.OK
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
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
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _discard_output()  # whoever read it has seen enough
            return int(context.obj) if context is not None and context.obj else ExitCode.OK
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _discard_output()
            click.echo(f"Error: Cannot write: {error}.\nMake room, or write elsewhere.", err=True)
            return ExitCode.USAGE
        import traceback

        traceback.print_exc()
        click.echo("This is a bug in genbench; please report it with the lines above.", err=True)
        return ExitCode.BUG


def _reader_is_gone() -> bool:
    """Whether it is our own output that nobody reads; another broken pipe is a fault."""
    watched = select.poll()
    watched.register(1, 0)
    watched.register(2, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in watched.poll(0))


def _discard_output() -> None:
    """Point standard output at nothing, or Python complains when it flushes what is left at its exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
