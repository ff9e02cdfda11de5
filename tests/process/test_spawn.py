"""Child processes: where they find modules, what is left of them after a kill, and how their end is described."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import wait_until_gone

from genbench.process.spawn import ChildProcess, calling

MODULE = """
import os, random, socket, subprocess, sys

def report(descriptor):
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(repr([random.__file__, sys.path, os.getsid(0) == os.getpid(), sys.stdin.read()]).encode())

def leave_a_child(descriptor):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(str(child.pid).encode())
        connection.recv(1)

def fail(descriptor):
    print("to standard output")
    raise ValueError("no luck")
"""


@pytest.fixture(params=["a program", "a fork of the tests"])
def module(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module on the import path; the working directory holds a `random.py` that must not be imported."""
    if request.param != "a program":
        request.getfixturevalue("forked_children")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "spawned.py").write_text(MODULE)
    (tmp_path / "random.py").write_text("raise ImportError('the wrong module')")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path)
    yield "spawned"


def start(module: str, function: str) -> tuple[ChildProcess, socket.socket]:
    child = ChildProcess(calling(module, function))
    return child, child.connection


def test_a_child_imports_from_where_this_process_does_in_a_session_of_its_own(module: str) -> None:
    child, connection = start(module, "report")
    with connection:
        found, path, leads_its_session, given = eval(connection.recv(1 << 16))
    assert (path, leads_its_session, given) == (sys.path, True, "")
    assert Path(found).parent != Path.cwd()
    assert child.wait(10)
    assert child.describe() == "exited with status 0"
    child.close()


def test_killing_a_child_kills_what_it_has_started(module: str) -> None:
    child, connection = start(module, "leave_a_child")
    with connection:
        grandchild = int(connection.recv(100))
        assert child.running
        child.kill()
    wait_until_gone([child.pid, grandchild])
    assert child.describe() == "was killed by SIGKILL"
    child.pause()  # harmless: the process id may belong to another process now
    child.close()


def test_the_description_quotes_the_last_line_of_standard_error(module: str) -> None:
    child, connection = start(module, "fail")
    with connection:
        assert connection.recv(1) == b""
    assert child.describe() == "exited with status 1 (ValueError: no luck)"
    assert child.error_lines()[0].startswith("Traceback")
    child.close()
    assert child.error_lines() == []


def test_output_goes_where_it_is_sent(module: str, tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log:
        child = ChildProcess(calling(module, "fail"), output=log)
    assert child.describe() == "exited with status 1"
    text = (tmp_path / "log").read_text()
    assert "to standard output" in text
    assert "ValueError: no luck" in text
    child.close()


def test_environment_directory_and_standard_input_can_be_chosen(tmp_path: Path) -> None:
    program = ["-c", "import os, sys; print(os.getcwd(), os.environ['CHOSEN'], sys.stdin.read())"]
    pipe, environment = subprocess.PIPE, {**os.environ, "CHOSEN": "value"}
    child = ChildProcess(program, stdin=pipe, output=pipe, environment=environment, directory=tmp_path)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"typed")
    child.stdin.close()
    with child.stdout:
        assert child.stdout.read().decode().split() == [str(tmp_path), "value", "typed"]
    child.close()
