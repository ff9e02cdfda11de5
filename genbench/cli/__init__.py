"""The command line: one file per command, imported only when the command is used.

An imported command module becomes an attribute of this package, which shadows names such as `list`: nothing in this
module may use the built-in `list` or define `run`.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Iterable
from typing import Any

import click

from genbench import __version__
from genbench.cli.output import echo
from genbench.errors import ExitCode, GenbenchError, UsageError, how_to_explain, near_miss, nearest

COMMANDS: dict[str, str] = {
    "run": "Train and measure models; write the comparison table.",
    "init": "Write a commented plan file, and a gate for pull requests.",
    "tune": "Tune models with equal budgets, and measure the best settings with fresh seeds.",
    "list": "List models, losses, datasets, metrics, families, extractors, reporters or executors.",
    "show": "Show the plan, status and files of a run, or one cell in detail.",
    "sample": "Draw samples, interpolations or reconstructions from a trained cell.",
    "measure": "Measure a finished run with further metrics or samplers, from its weights.",
    "fid": "Measure the distance between two sets of images.",
    "table": "Print the comparison table of one or more runs.",
    "figure": "Draw a figure for a paper: frontier, curves, samples, throughput, scaling, ranks, tuning.",
    "report": "Rewrite the table, contact sheet and report.html of a run.",
    "archive": "Pack a run into one file for readers.",
    "board": "Write a static site over many runs.",
    "ab": "Compare the training speed of two versions of the code, live.",
    "compare": "Compare two stored results, the cells of a run, or methods over datasets.",
    "power": "Forecast how many seeds and hours it takes to see a difference.",
    "check": "Check a run against a stored baseline, as a CI gate.",
    "baseline": "Create or update the baseline file for `check`.",
    "calibrate": "Find out which slowdowns `ab` can detect on this machine.",
    "history": "Show speed and quality over many runs, and where they changed.",
    "data": "Check a dataset or a folder of images before training on it.",
    "metrics": "Certify a feature extractor, or verify a faster way to run it.",
    "plugin": "Create, test, show or list plugins.",
    "doctor": "Check this machine and installation; attach the output to bug reports.",
    "explain": "Explain the code of an error, such as GB101: causes and remedies.",
    "env": "Show the hardware and software versions of this machine.",
    "schema": "Print the JSON Schema of the result files.",
}

_CHECK_PATH = "Check the path, or choose another."
_CHECK_RIGHTS = "Check who may read and write it (ls -l), or choose another path."
_PATH_ERRORS = {
    errno.EACCES: _CHECK_RIGHTS,
    errno.EPERM: _CHECK_RIGHTS,
    errno.EROFS: "Its file system is read-only; choose another path.",
    errno.ENAMETOOLONG: "Choose a shorter path.",
    errno.EIO: "The disk has an error; choose another path.",
    errno.ESTALE: "Its network file system has changed; try again.",
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO), _CHECK_PATH),
}

_COMMAND_LINE = "GB102"  # of what click finds wrong

EPILOG = """\b
Exit codes: 0 success, 1 check failed, 2 usage error, 3 inconclusive,
            4 not comparable, 5 no data, or failed cells or metrics,
            70 bug in genbench, 130 interrupted.
First steps: genbench run      genbench list      genbench run --help"""


class NearMissGroup(click.Group):
    """A group that suggests the closest name for a misspelt command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; raise `UsageError` with the closest name if there is none."""
        known = self.list_commands(ctx)
        if args and args[0] not in known:
            raise click.UsageError(f"Unknown command '{args[0]}'.{near_miss(args[0], known)}", ctx)
        return super().resolve_command(ctx, args)


class CommandGroup(NearMissGroup):
    """A group that lists its commands by name and imports each only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a user meets them."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"genbench.cli.{name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return the commands that begin like this, without importing any."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(
    cls=CommandGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="genbench")
@click.option(
    "--install-completion",
    is_flag=False,
    flag_value="",
    metavar="[SHELL]",
    help="Let bash, zsh or fish complete commands, flags, names, runs and cells, and exit. [default: your shell]",
)
@click.pass_context
def cli(context: click.Context, install_completion: str | None) -> None:
    """Compare generative models: how fast they train and how good their samples are."""
    if install_completion is not None:
        from genbench.cli.completion import install

        echo(install(cli, install_completion or None))
        context.exit()
    if context.invoked_subcommand is None:
        _print_next_steps(context)


def _print_next_steps(context: click.Context) -> None:
    """Print the help; on a terminal, print what makes sense next, from what lies in the working directory."""
    if not sys.stdout.isatty():
        raise click.exceptions.NoArgsIsHelpError(context)
    from pathlib import Path

    from genbench.commands.first_steps.next_steps import next_steps

    steps = next_steps(Path())
    width = max(len(step.command) for step in steps)
    echo(f"genbench {__version__} compares generative models. Next:\n")
    for step in steps:
        echo(f"  {step.command:<{width}}  {step.reason}")
    echo("\nAll commands: genbench --help")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a documented code."""
    _accept_any_character()
    gc.set_threshold(50_000, 20, 100)  # thousands of cells have no cycles: looking for some takes a fifth of the time
    sys.exit(invoke(arguments))


def _accept_any_character() -> None:
    """Let standard output print what its encoding lacks, as question marks; standard error escapes it.

    On Windows, files and pipes get UTF-8, as everywhere else, unless the user has chosen an encoding.
    """
    unchosen = sys.platform == "win32" and "PYTHONIOENCODING" not in os.environ
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            errors = "replace" if stream is sys.stdout else stream.errors
            stream.reconfigure(encoding="utf-8" if unchosen else stream.encoding, errors=errors)


def invoke(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    context: click.Context | None = None
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    if not _has_working_directory() and not {"-h", "--help", "--version"} & {*given}:
        _echo_error("Error: The working directory no longer exists.\nChange to an existing one with cd.", "GB701")
        return ExitCode.USAGE
    try:
        if arguments is None and (instruction := os.environ.get("_GENBENCH_COMPLETE")):
            from genbench.cli.completion import complete

            return complete(cli, instruction)
        _check_text(given)
        # Not cli.main(): click turns a broken pipe into exit code 1, which means "regressed" here.
        with cli.make_context("genbench", given) as context:
            result: Any = cli.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitCode.OK
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        _echo_error("Interrupted.", "GB511")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error = _unknown_flag(error)
        error.show()
        if not isinstance(error, click.exceptions.NoArgsIsHelpError):
            echo(how_to_explain(_COMMAND_LINE), err=True)
        return ExitCode.USAGE
    except GenbenchError as error:
        kind = "" if error.exit_code == ExitCode.INTERRUPTED else "Error: "
        _echo_error("\n".join(filter(None, [f"{kind}{error.cause}", error.cure])), error.code)
        return error.exit_code
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_output_closed():
            _discard_output()  # the reader has closed the pipe
            return int(context.obj) if context is not None and context.obj else ExitCode.OK
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _discard_output()
            _echo_error(f"Error: Cannot write: {error}.\nFree some disk space, or write elsewhere.", "GB702")
            return ExitCode.USAGE
        refused = _refused_path(error)
        if refused:
            _echo_error(f"Error: {refused}", "GB701")
            return ExitCode.USAGE
        import traceback

        echo(traceback.format_exc(), err=True, nl=False)
        _echo_error("This is a bug in genbench; please report it with the traceback above.", "GB999")
        return ExitCode.BUG


def _unknown_flag(error: click.NoSuchOption) -> click.UsageError:
    """Return the error with the closest flag: click compares the dashes, too, which makes short flags similar."""
    parameters = error.ctx.command.get_params(error.ctx) if error.ctx else []
    flags = [flag[2:] for one in parameters for flag in (*one.opts, *one.secondary_opts) if flag.startswith("--")]
    best = nearest(error.option_name.lstrip("-"), flags)
    hint = f" Did you mean --{best}?" if best else ""
    return click.UsageError(f"No such option: {error.option_name}.{hint}", error.ctx)


def _echo_error(text: str, code: str) -> None:
    """Print a message that ends the command, and how its code is explained."""
    echo(text, err=True)
    echo(how_to_explain(code), err=True)


def _refused_path(error: Exception) -> str:
    """Return cause and remedy where the operating system refused a path; an empty string for any other error."""
    if isinstance(error, OSError) and error.filename is not None and error.errno in _PATH_ERRORS:
        return f"Cannot use {os.fsdecode(error.filename)}: {error.strerror}.\n{_PATH_ERRORS[error.errno]}"
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib before Python 3.13
        return f"{error}.\n{_CHECK_PATH}"
    if isinstance(error, ValueError) and "null" in str(error) and ("byte" in str(error) or "character" in str(error)):
        return "A path contains a null character.\nRemove it from the command line, or from the configuration file."
    return ""


def _check_text(arguments: Iterable[str]) -> None:
    """Raise `UsageError` for an argument that no operating system passes on, and that cannot be part of a path."""
    for argument in arguments:
        try:
            possible = b"\0" not in os.fsencode(argument)
        except UnicodeEncodeError:
            possible = False
        if not possible:
            raise UsageError(
                f"The argument {argument!r} contains a character that no path or name can have.", code="GB102"
            )


def _has_working_directory() -> bool:
    """Return whether the working directory exists: relative paths, and the processes of a run, need one."""
    try:
        os.getcwd()  # noqa: PTH109 - pathlib is not imported yet
    except FileNotFoundError:
        return False
    return True


def _is_output_closed() -> bool:
    """Return whether the reader of stdout or stderr has left; any other broken pipe is an error."""
    from genbench.system.opening import is_output_closed

    return is_output_closed()


def _discard_output() -> None:
    """Redirect stdout to the null device, because Python would fail to flush the rest at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
