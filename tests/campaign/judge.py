"""What must hold whatever was broken: no traceback, no bug code, nothing that acts on a terminal, no process left."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from pathlib import Path

CODES = {0, 1, 2, 3, 4, 5, 130}  # the documented exit codes, except that of a bug
_BUG = "This is a bug in genbench"
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\)", re.MULTILINE)
_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COMMAND = re.compile(r"^\s*(::|##\[)", re.MULTILINE)


class Finding(Exception):
    """Something that must not happen; the text says what."""


def judge(done: subprocess.CompletedProcess[str]) -> None:
    """Raise `Finding` unless a command ended as documented and printed only harmless text."""
    said = f"\n--- stdout\n{done.stdout[-1500:]}\n--- stderr\n{done.stderr[-3000:]}"
    command = " ".join(map(str, done.args))
    if done.returncode not in CODES:
        raise Finding(f"exit code {done.returncode}: {command}{said}")
    for text in (done.stdout, done.stderr):
        # With --in-process, the log of a cell that fails goes to stderr.
        if _BUG in text or (_TRACEBACK.search(text) and "--in-process" not in done.args):
            raise Finding(f"a traceback: {command}{said}")
        if _ACTING.search(text):
            raise Finding(f"a control character: {command}{said!r}")
        if _COMMAND.search(text):
            raise Finding(f"a workflow command of a CI system: {command}{said}")
    if done.returncode in (2, 5) and not done.stderr.strip() and not done.stdout.strip():
        raise Finding(f"exit code {done.returncode} without a word: {command}")


def content(folder: Path) -> dict[str, str]:
    """Return the hash of every ordinary file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def require_none_left(mark: str, seconds: float = 10) -> None:
    """Raise `Finding` if processes with this text in their environment still run after some seconds."""
    deadline = time.monotonic() + seconds
    while left := _with_mark(mark.encode()):
        if time.monotonic() > deadline:
            raise Finding(f"left running: {left}")
        time.sleep(0.1)


def _with_mark(mark: bytes) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200])
        except OSError:
            continue
    return found
