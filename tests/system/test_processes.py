"""Processes: found by their parent or a variable, paused, killed with what they have started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import wait_until, wait_until_gone

from genbench.system.processes import (
    PARENT,
    Tree,
    busy_share,
    descendants,
    is_running,
    kill,
    kill_with_variable,
    processes_with_variable,
)

START = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {code!r}]); "
    "print(child.pid, flush=True); child.wait()"
)
COUNT = "import time, sys\nwhile True: print(1, flush=True); time.sleep(0.02)"


@pytest.fixture
def family(means: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process in a session of its own, with the id of its child, which counts."""
    environment = {**os.environ, "FAMILY": "this/one"}
    with subprocess.Popen(
        [sys.executable, "-c", START.format(code=COUNT)],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        yield process, pid
        Tree(process.pid).kill()
        kill(pid)


def test_killing_a_tree_kills_its_descendants(family: tuple[subprocess.Popen[bytes], int]) -> None:
    process, child = family
    assert descendants(process.pid) == {process.pid, child}
    assert is_running(process.pid) and is_running(child)
    assert {process.pid, child} == set(processes_with_variable("FAMILY", "this"))
    Tree(process.pid).kill()
    process.wait()
    wait_until_gone([process.pid, child])
    assert descendants(process.pid) == {process.pid}


def test_what_has_lost_its_parent_is_killed_by_its_variable(family: tuple[subprocess.Popen[bytes], int]) -> None:
    process, child = family
    process.kill()
    process.wait()
    assert processes_with_variable("FAMILY", "this/one") == [child]
    kill_with_variable("FAMILY", "this/one")
    wait_until_gone([child])


@pytest.mark.skipif(sys.platform == "win32", reason="pipes always wait there")
def test_a_paused_tree_does_nothing_until_it_is_resumed(family: tuple[subprocess.Popen[bytes], int]) -> None:
    process, _ = family
    assert process.stdout is not None
    tree, output = Tree(process.pid), process.stdout.fileno()
    os.set_blocking(output, False)
    tree.pause()
    time.sleep(0.1)
    process.stdout.read(1 << 20)
    time.sleep(0.3)
    assert not process.stdout.read(1 << 20)
    tree.resume()
    wait_until(lambda: bool(process.stdout.read(1 << 20)), seconds=10)  # type: ignore[union-attr]


def test_a_process_that_computes_is_told_from_one_that_sleeps(means: str) -> None:
    shares = {}
    for name, code in (("computes", "while True: pass"), ("sleeps", "import time; time.sleep(60)")):
        with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
            time.sleep(0.5)
            shares[name] = busy_share(process.pid, 0.5, 10)
            process.kill()
    assert shares["computes"] > 0.05
    assert shares["sleeps"] < shares["computes"] / 2


def test_a_child_ends_with_the_process_that_has_started_it(means: str, tmp_path: Path) -> None:
    child = "from genbench.system.processes import end_with_parent; import time; end_with_parent(); time.sleep(600)"
    code = f"import os, subprocess, sys, time; os.environ[{PARENT!r}] = str(os.getpid()); child = subprocess.Popen("
    code += f"[sys.executable, '-c', {child!r}]); print(child.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(2)  # until the child follows its parent
        assert is_running(pid)
        parent.kill()
    wait_until_gone([pid])
