"""Cells that take turns: one at a time, and a cell that has ended, in whatever way, has no turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from genbench.cell.turn import Turn


def test_one_cell_has_the_turn_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "turn.lock")
    first, second = Turn(path), Turn(path)
    assert first.take()
    assert first.take()  # it has it
    looks = iter([False, False, True])
    assert not second.take(lambda: next(looks))
    first.release()
    assert second.take()
    second.release()
    with first.held():
        assert not second.take(lambda: True)
    assert second.take(lambda: True)


def test_without_a_lock_file_there_is_no_waiting() -> None:
    first, second = Turn(), Turn()
    assert first.take() and second.take()
    first.release()


def test_a_killed_cell_loses_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "turn.lock"
    code = f"from genbench.cell.turn import Turn; t = Turn({str(path)!r}); t.take(); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert not Turn(str(path)).take(lambda: True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert Turn(str(path)).take(lambda: True)
