"""An arm of a comparison: the code of one reference, installed where the other arm cannot see it.

Heavy dependencies are those of this environment, and shared. Only the packages under test are installed anew, without
their dependencies, into a folder that the arm's processes have in front of their import path, and that nobody else has.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import genbench
from genbench.ab.reference import Reference
from genbench.errors import UsageError

LAST_LINES = 12  # of a failed build that are shown

# The genbench that is running, for arms that bring none: a plugin's revisions are measured by one and the same.
_RUNNING = Path(genbench.__file__).parent.parent

# What would let one arm see code or settings that were meant for this process.
_OWN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONINSPECT", "PYTHONWARNINGS")


@dataclass(frozen=True)
class Arm:
    """A side that can be measured."""

    name: str  # 'base' or 'head'
    label: str  # for a reader
    environment: Mapping[str, str]  # of its processes
    place: Path  # their working directory


def installed_arm(name: str, place: Path) -> Arm:
    """Return the genbench that is running here as an arm: for calibration, in which both arms are the same code."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return Arm(name, "this installation", {**os.environ, "PYTHONPATH": path}, place)


@contextmanager
def built(base: Reference, head: Reference, packages: Sequence[str] = (".",)) -> Iterator[tuple[Arm, Arm]]:
    """Build both sides before anything is measured, and take them away again, whatever happens.

    Args:
        base: the one side.
        head: the other.
        packages: folders inside a revision or directory that are installed; ``.`` is its top.

    Raises `UsageError` with the last lines of what pip said where a side cannot be built.
    """
    scratch = Path(tempfile.mkdtemp(prefix="genbench-ab-"))
    try:
        arms = [_build(name, reference, scratch, packages) for name, reference in (("base", base), ("head", head))]
        yield arms[0], arms[1]
    finally:
        for reference in (base, head):
            _forget_worktrees(reference, scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def _build(name: str, reference: Reference, scratch: Path, packages: Sequence[str]) -> Arm:
    site, place = scratch / f"{name}-site", scratch / f"{name}-place"
    place.mkdir()
    if reference.kind == "wheel":
        sources = [reference.path]
    else:
        top = _check_out(reference, scratch / name) if reference.kind == "revision" else reference.path
        sources = [top / package for package in packages]
        missing = next(
            (p for p, s in zip(packages, sources, strict=True) if not (s / "pyproject.toml").is_file()), None
        )
        if missing is not None:
            raise UsageError(
                f"{name} {reference.label}: there is no pyproject.toml in '{missing}'.",
                "Name the folders of the packages under test with --package.",
            )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(site), *map(str, sources)],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        env={**os.environ, "DIST_EXTRA_CONFIG": str(_elsewhere(scratch / f"{name}-build"))},
    )
    if done.returncode != 0:
        raise UsageError(f"{name} {reference.label} cannot be built:", _complaint(done))
    return Arm(name, reference.label, _environment(name, site), place)


def _elsewhere(folder: Path) -> Path:
    """Return a configuration by which setuptools builds in a folder of its own.

    In a directory that is measured as it is, it would leave `build/` behind, and pack again what an older build left.
    """
    folder.mkdir()
    configuration = folder / "setup.cfg"
    configuration.write_text(f"[build]\nbuild_base = {folder}\n[egg_info]\negg_base = {folder}\n", encoding="utf-8")
    return configuration


def _environment(name: str, site: Path) -> dict[str, str]:
    kept = {variable: value for variable, value in os.environ.items() if variable not in _OWN}
    compiled = site.parent / f"{name}-compiled"
    path = os.pathsep.join([str(site), str(_RUNNING)])
    return {**kept, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "TORCHINDUCTOR_CACHE_DIR": str(compiled)}


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    telling = [line for line in lines if not line.lstrip().startswith(("note:", "hint:", "╰─>"))]
    return "\n".join(telling[-LAST_LINES:]) or "pip said nothing."


def _check_out(reference: Reference, tree: Path) -> Path:
    command = ["git", "-C", str(reference.path), "worktree", "add", "--quiet", "--detach", str(tree), reference.commit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-LAST_LINES:]
        raise UsageError(f"{reference.label} cannot be checked out:", "\n".join(said) or "git said nothing.")
    return tree


def _forget_worktrees(reference: Reference, scratch: Path) -> None:
    """Let git forget the checkouts, so that nothing of them is left in the user's repository."""
    if reference.kind != "revision":
        return
    for name in ("base", "head"):
        tree = scratch / name
        if tree.exists():
            with contextlib.suppress(OSError):
                command = ["git", "-C", str(reference.path), "worktree", "remove", "--force", str(tree)]
                subprocess.run(command, capture_output=True, check=False)
