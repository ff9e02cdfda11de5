"""Folders that make a node faulty whose Python looks for modules there first (PYTHONPATH)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from genbench.results.schema import CellResult

_CLOCK = """
import datetime, time
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime
time.time, time.time_ns = lambda: _time() + SKEW, lambda: _time_ns() + SKEW * 10**9
class Skewed(_datetime):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=SKEW)
datetime.datetime = Skewed
"""
_FULL_DISK = """
import errno, tempfile
def mkdtemp(*given, **named): raise OSError(errno.ENOSPC, 'No space left on device', '/tmp')
tempfile.mkdtemp = mkdtemp
"""


def skewed_clock(folder: Path, seconds: int) -> Path:
    """Return a folder for nodes whose clock differs from that of the others by so many seconds."""
    return _customized(folder, _CLOCK.replace("SKEW", f"({seconds})"))


def require_skewed(cell: CellResult, seconds: int) -> None:
    """Fail unless the clock of the node differed by so many seconds, and the durations of its cell are right."""
    assert cell.provenance is not None and cell.durations is not None
    started = datetime.fromisoformat(cell.provenance.started)
    assert abs((started - datetime.now(UTC)).total_seconds() - seconds) < 600
    assert 0 < cell.durations.total < 600


def full_disk(folder: Path) -> Path:
    """Return a folder for nodes whose disk has no room for temporary files."""
    return _customized(folder, _FULL_DISK)


def other_numpy(folder: Path) -> Path:
    """Return a folder for nodes that have numpy 0.0.1."""
    metadata = folder / "numpy-0.0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    return folder


def python_path(folder: Path) -> str:
    """Return the value of PYTHONPATH for such nodes."""
    return f"{folder}:{os.environ.get('PYTHONPATH', '')}"


def _customized(folder: Path, code: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    return folder
