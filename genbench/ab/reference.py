"""What `--base` and `--head` may name: a git revision of the repository at hand, a wheel, or a directory."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genbench.errors import UsageError, near_miss

HOW = "Name a git revision (main, HEAD~1, a commit), a wheel, or a directory such as `.` or ./checkout."


@dataclass(frozen=True)
class Reference:
    """One side of a comparison, found but not built."""

    text: str  # as it was written
    kind: Literal["revision", "wheel", "directory"]
    path: Path  # the repository, the wheel, or the directory
    commit: str = ""  # full hash, of a revision; of a directory, what is checked out there
    dirty: bool = False  # a directory with changes that are not committed

    @property
    def label(self) -> str:
        """The reference for a reader: what was written, with the commit it means."""
        told = (
            f"{self.text} ({self.commit[:10]})" if self.commit and not self.commit.startswith(self.text) else self.text
        )
        return f"{told} with uncommitted changes" if self.dirty else told


def find_reference(text: str, repository: Path) -> Reference:
    """Return what `text` names, seen from a directory inside `repository`.

    A text that ends in ``.whl`` is a wheel; one that is ``.`` or begins with ``./``, ``../``, ``/`` or ``~`` is a
    directory; anything else is a revision. Raises `UsageError` where it is not there.
    """
    if text.endswith(".whl"):
        wheel = Path(text).expanduser()
        if not wheel.is_file():
            raise UsageError(f"There is no wheel {text}.", HOW)
        return Reference(text, "wheel", wheel.resolve())
    if text in (".", "..") or text.startswith(("./", "../", "/", "~")):
        return _directory(text)
    return _revision(text, repository)


def uncommitted(directory: Path) -> bool:
    """Say whether a checkout holds changes, files that git does not know included, that are in no commit."""
    return bool(_git(directory, "status", "--porcelain").stdout.strip())


def _directory(text: str) -> Reference:
    directory = Path(text).expanduser().resolve()
    if not directory.is_dir():
        raise UsageError(f"There is no directory {text}.", HOW)
    if not (directory / "pyproject.toml").is_file():
        raise UsageError(f"{text} has no pyproject.toml: it cannot be installed.", HOW)
    found = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    commit = found.stdout.strip() if found.returncode == 0 else ""
    return Reference(text, "directory", directory, commit, dirty=bool(commit) and uncommitted(directory))


def _revision(text: str, directory: Path) -> Reference:
    top = _git(directory, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        raise UsageError(
            f"'{text}' would be a revision, but {directory} is in no git repository.",
            "Change to the repository, or name a directory or a wheel.",
        )
    found = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    if found.returncode != 0:
        names = _git(directory, "for-each-ref", "--format=%(refname:short)").stdout.split()
        raise UsageError(f"There is no revision '{text}' in this repository.{near_miss(text, names)}", HOW)
    return Reference(text, "revision", Path(top.stdout.strip()), found.stdout.strip())


def _git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        raise UsageError("git is not installed, and a revision cannot be found without it.", HOW) from None
