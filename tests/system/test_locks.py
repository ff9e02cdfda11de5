"""Locks of files and folders: one process at a time, and nothing of them is left of a process that was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genbench.system.locks import FileLock

HOLD = (
    "from pathlib import Path; from genbench.system.locks import FileLock; "
    "lock = FileLock(Path({path!r}), {create}); lock.take(); print(1, flush=True); input()"
)


@pytest.mark.parametrize("kind", ["file", "folder", "created"])
def test_one_process_at_a_time_until_it_releases_the_lock_or_is_killed(means: str, kind: str, tmp_path: Path) -> None:
    path, create = tmp_path / "it", kind == "created"
    if kind == "file":
        path.write_text("content")
    elif kind == "folder":
        path.mkdir()
    code = HOLD.format(path=str(path), create=create)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with FileLock(path, create) as lock, pytest.raises(BlockingIOError):
            lock.take()
        if kind == "file":
            assert path.read_text() == "content"
        other.kill()
        other.wait()
    with FileLock(path, create) as lock:
        lock.take(wait=True)
        with FileLock(path, create) as second, pytest.raises(BlockingIOError):
            second.take()
    with FileLock(path, create) as lock:
        lock.take()


def test_what_does_not_exist_cannot_be_locked(means: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
