"""What `--base` and `--head` may name: a git revision of the current repository, a wheel, or a directory."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genbench.errors import UsageError, near_miss

HOW = "Name a git revision (main, HEAD~1, a commit), a wheel, or a directory such as `.` or ./checkout."


@dataclass(frozen=True)
class Reference:
    """A version to compare, found but not built."""

    text: str  # as the user wrote it
    kind: Literal["revision", "wheel", "directory"]
    path: Path  # the repository, the wheel, or the directory
    commit: str = ""  # full hash of the revision, or of what is checked out in the directory
    dirty: bool = False  # whether the directory has uncommitted changes

    @property
    def label(self) -> str:
        """The reference for display: its text, with the commit that it names."""
        text = (
            f"{self.text} ({self.commit[:10]})" if self.commit and not self.commit.startswith(self.text) else self.text
        )
        return f"{text} with uncommitted changes" if self.dirty else text


def find_reference(text: str, repository: Path) -> Reference:
    """Return what `text` names, as seen from a directory inside `repository`.

    A text that ends in ``.whl`` is a wheel; one that is ``.`` or begins with ``./``, ``../``, ``/`` or ``~`` is a
    directory; anything else is a revision. Raises `UsageError` if it does not exist.
    """
    if text.endswith(".whl"):
        wheel = Path(text).expanduser()
        if not wheel.is_file():
            raise UsageError(f"There is no wheel {text}.", HOW, code="GB804")
        return Reference(text, "wheel", wheel.resolve())
    if text in (".", "..") or text.startswith(("./", "../", "/", "~")):
        return _directory(text)
    return _revision(text, repository)


def uncommitted(directory: Path) -> bool:
    """Return whether a checkout has uncommitted changes, including untracked files."""
    return bool(_git(directory, "status", "--porcelain").stdout.strip())


def _directory(text: str) -> Reference:
    directory = Path(text).expanduser().resolve()
    if not directory.is_dir():
        raise UsageError(f"There is no directory {text}.", HOW, code="GB804")
    if not (directory / "pyproject.toml").is_file():
        raise UsageError(f"{text} has no pyproject.toml: it cannot be installed.", HOW, code="GB804")
    found = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    commit = found.stdout.strip() if found.returncode == 0 else ""
    return Reference(text, "directory", directory, commit, dirty=bool(commit) and uncommitted(directory))


def _revision(text: str, directory: Path) -> Reference:
    top = _git(directory, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        raise UsageError(
            f"'{text}' would be a revision, but {directory} is not in a git repository.",
            "Change to the repository, or name a directory or a wheel.",
            code="GB804",
        )
    found = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    if found.returncode != 0:
        names = _git(directory, "for-each-ref", "--format=%(refname:short)").stdout.split()
        raise UsageError(
            f"There is no revision '{text}' in this repository.{near_miss(text, names)}", HOW, code="GB804"
        )
    return Reference(text, "revision", Path(top.stdout.strip()), found.stdout.strip())


def _git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        raise UsageError("git is not installed; it is needed to find a revision.", HOW, code="GB403") from None
