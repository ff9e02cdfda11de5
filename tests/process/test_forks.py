"""Commands in forks of a process that has imported torch, as the tests start them, behave as programs do."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import forks
import pytest
import warm
from command_line import FAULTS, GENBENCH, TINY, start, wait_until_gone

LISTED = ("list", "losses", "--plugin", str(FAULTS), "--json")


@pytest.mark.parametrize("arguments", [LISTED, ("run", "--models", "vea"), ("no-such-command",)])
def test_a_fork_prints_and_exits_as_a_program(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise ImportError('the wrong module')")
    program = subprocess.run(
        [GENBENCH[0], "-P", *GENBENCH[1:], *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    fork = warm.command(*arguments, cwd=tmp_path)
    assert (fork.returncode, fork.stdout, fork.stderr) == (program.returncode, program.stdout, program.stderr)


def test_a_fork_has_its_own_variables_input_and_no_descriptor_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import os, sys\n"
        "def test_it():\n"
        "    assert os.environ['GIVEN'] == 'value' and 'PATH' not in os.environ\n"
        "    assert os.path.realpath(os.curdir) == os.environ['WHERE']\n"
        "    assert os.read(0, 10) == b'typed'\n"
        "    opened = [os.path.realpath(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd')]\n"
        "    assert not [path for path in opened if 'socket' in path]\n"  # those of the server
    )
    variables = {"GIVEN": "value", "WHERE": os.path.realpath(tmp_path)}
    arguments = ("-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_it.py")
    process = forks.start(arguments, variables, tmp_path, program="pytest", typed="typed")
    assert "1 passed" in process.communicate(60)[0]


def test_a_signal_reaches_the_command_and_its_end_is_known(tmp_path: Path) -> None:
    going = start(*TINY, "--models", "gan", "--images", "640000", out=tmp_path / "run")
    assert going.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        going.process.wait(0.05)
    going.process.send_signal(signal.SIGKILL)
    assert going.process.wait(30) == -signal.SIGKILL
    wait_until_gone([going.process.pid])
