"""The command line itself: commands, suggestions for typos, and unambiguous exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import warm

from genbench import __version__
from genbench import cli as root
from genbench.errors import DataError, ExitCode, GenbenchError, UsageError

GENBENCH = [sys.executable, "-m", "genbench"]


def run_callback(callback: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line with a command that calls `callback`."""
    monkeypatch.setattr(root.CommandGroup, "get_command", lambda *_: click.Command("list", callback=callback))
    return root.invoke(["list"])


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.invoke(["--help"]) == 0
    text = capsys.readouterr().out
    for command in root.COMMANDS:
        assert f"\n  {command} " in text
    for number in ("0 success", "2 usage", "5 no data", "70 bug", "130 interrupted"):
        assert number in text


NESTED = (
    *("baseline update", "data check", "metrics accept", "metrics certify"),
    *("plugin list", "plugin new", "plugin show", "plugin test"),
)


@pytest.mark.parametrize("command", [*root.COMMANDS, *NESTED])
def test_every_command_has_a_help_text_without_stray_blank_lines(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert root.invoke([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: genbench {command} ")
    assert "Options:" in text
    assert not re.search(r"\n *\n *\n", text)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "ls -l"),
        (errno.EROFS, "read-only"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EISDIR, "Check the path"),
        (errno.ELOOP, "Check the path"),
    ],
)
def test_a_path_that_the_system_refuses_is_a_usage_error(
    number: int, remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise OSError(number, os.strerror(number), "some/place")

    assert run_callback(refuse, monkeypatch) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert f"Error: Cannot use some/place: {os.strerror(number)}." in said
    assert remedy in said
    assert "Traceback" not in said


PATHS = ["a" * 300, "a/" * 3000, "loop", "file/below", *(["secret/below"] if os.geteuid() else [])]  # root sees all
TAKE_A_PATH = [
    "show PATH",
    "table PATH",
    "report PATH",
    "history PATH",
    "compare PATH PATH",
    "compare PATH",
    "compare PATH --over-datasets",
    "power PATH --detect 5%",
    "check PATH --baseline PATH",
    "check --config PATH PATH",
    "baseline update PATH --baseline PATH",
    "sample PATH --cell x --out PATH",
    "fid PATH PATH",
    "fid PATH --save-stats PATH.npz",
    "data check PATH",
    "run --config PATH",
    "run --resume PATH",
    "run --plugin PATH",
    "run --dry-run --in-process --datasets folder:PATH --models vae",
    "plugin test PATH",
    "plugin new my-variant --out PATH",
    "list --plugin PATH",
]


@pytest.mark.slow
@pytest.mark.parametrize("command", TAKE_A_PATH)
def test_impossible_paths_are_usage_errors_of_every_command(command: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    (tmp_path / "secret").mkdir(mode=0)
    for path in PATHS:
        done = warm.command(*(word.replace("PATH", path) for word in command.split()), cwd=tmp_path)
        assert done.returncode in (ExitCode.USAGE, ExitCode.FAILED_CELLS), (path, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()


def test_a_null_character_in_a_configuration_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.toml").write_text('plugins = ["a\\u0000b"]\n')
    assert root.invoke(["run", "--dry-run", "--config", str(tmp_path / "plan.toml")]) == ExitCode.USAGE
    assert "null character" in capsys.readouterr().err


def test_the_command_line_can_be_invoked_again_after_every_command_was_imported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in root.COMMANDS:
        root.invoke([command, "--help"])
    assert root.invoke(["--help"]) == 0  # genbench.cli.list and .run are modules now
    assert root.invoke(["lst"]) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.invoke(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "Unknown command 'rnu'. Did you mean 'run'?"),
        (["lst", "--json"], "Unknown command 'lst'. Did you mean 'list'?"),
        (["plugin", "lst"], "Unknown command 'lst'. Did you mean 'list'?"),
        (["--verison"], "--version"),
        (["run", "--modles", "gan"], "Did you mean --models?"),
        (["run", "--hlep"], "Did you mean --help?"),
        (["run", "--bogus"], "No such option: --bogus.\n"),
        (["run", "--batch-size", "many"], "'many' is not a valid integer"),
        (["list", "modles"], "Did you mean 'models'?"),
        (["list", "models", "losses"], "unexpected extra argument"),
        (["run", "--config", "nowhere.toml"], "Cannot read nowhere.toml"),
        (["run", "--set", "width"], "--set NAME.option=value"),
        (["run", "--profile", "quik"], "Did you mean 'quick'"),
    ],
)
def test_an_invalid_request_is_a_usage_error_with_a_suggestion(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert root.invoke(arguments) == ExitCode.USAGE == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert root.invoke([]) == 2
    captured = capsys.readouterr()
    assert "Commands:" in captured.out + captured.err


class Strange(GenbenchError):
    exit_code = ExitCode.INCONCLUSIVE


@pytest.mark.parametrize(("error", "code"), [(UsageError, 2), (DataError, 5), (Strange, 3)])
def test_an_error_prints_cause_and_remedy_and_sets_the_exit_code(
    error: type[GenbenchError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error("The disk is square.", "Make it round.")

    assert run_callback(fail, monkeypatch) == code
    assert capsys.readouterr().err == (
        f"Error: The disk is square.\nMake it round.\nMore: genbench explain {error.code}\n"
    )


def test_a_bug_ends_with_70_and_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_callback(lambda: [][1], monkeypatch) == ExitCode.BUG == 70
    text = capsys.readouterr().err
    assert "IndexError" in text
    assert "This is a bug in genbench" in text
    assert text.endswith("More: genbench explain GB999\n")


def test_interrupting_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may have inherited "ignore"
    try:
        assert run_callback(lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch) == ExitCode.INTERRUPTED == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "Interrupted.\nMore: genbench explain GB511\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (ExitCode.FAILED_CELLS, 5), ("text", 0)])
def test_a_command_returns_its_exit_code(returned: object, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_callback(lambda: returned, monkeypatch) == code


@pytest.mark.parametrize("arguments", ["--help", "list", "schema cell"])
def test_a_reader_that_closes_the_pipe_is_no_error(arguments: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([*GENBENCH, *arguments.split()], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_any_other_broken_pipe_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise BrokenPipeError("a worker's socket")

    assert run_callback(fail, monkeypatch) == ExitCode.BUG


def test_a_closed_standard_output_is_no_error() -> None:
    line = [*map(str, GENBENCH), "list"]
    done = subprocess.run(["sh", "-c", f"exec {' '.join(line)} >&-"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_reported() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*GENBENCH, "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr
        == "Error: Cannot write: [Errno 28] No space left on device.\nFree some disk space, or write elsewhere.\n"
        "More: genbench explain GB702\n"
    )


@pytest.mark.slow
def test_an_encoding_without_arrows_and_dots_is_no_error() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*GENBENCH, "list", "metrics"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout


def test_the_environment_as_json() -> None:
    done = subprocess.run([*GENBENCH, "env", "--json"], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["default_threads"] >= 1
    assert {"python", "torch"} <= set(json.dumps(facts).replace('"', " ").split())


def test_a_working_directory_that_was_deleted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert root.invoke(["run", "--resume", str(tmp_path / "run")]) == ExitCode.USAGE
    assert "The working directory no longer exists" in capsys.readouterr().err
    assert root.invoke(["list", "--help"]) == ExitCode.OK


@pytest.mark.parametrize("flag", ["--out", "--resume"])
def test_a_run_directory_whose_name_is_not_unicode_is_refused(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", flag, "bad-\udcff", *(["--models", "vae"] if flag == "--out" else [])]
    assert root.invoke(arguments) == ExitCode.USAGE
    assert f"{flag} bad-\\udcff is not valid UTF-8" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
