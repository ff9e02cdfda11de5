"""An arm of a comparison: the code of one reference, installed where the other arm cannot see it.

Dependencies are those of this environment, and shared. Only the packages under test are installed, without their
dependencies, into a folder that comes first on the import path of the arm's processes, and of no others.
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

LAST_LINES = 12  # of the output of a failed build that are shown

# The genbench that is running, for arms without their own: it measures all revisions of a plugin.
_RUNNING = Path(genbench.__file__).parent.parent

# Variables that would let an arm see code or settings meant for this process.
_OWN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONINSPECT", "PYTHONWARNINGS")


@dataclass(frozen=True)
class Arm:
    """A version that can be measured."""

    name: str  # 'base' or 'head'
    label: str  # for display
    environment: Mapping[str, str]  # of its processes
    place: Path  # their working directory


def installed_arm(name: str, place: Path) -> Arm:
    """Return the running genbench as an arm, for calibration: both of its arms are the same code."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return Arm(name, "this installation", {**os.environ, "PYTHONPATH": path}, place)


@contextmanager
def built(base: Reference, head: Reference, packages: Sequence[str] = (".",)) -> Iterator[tuple[Arm, Arm]]:
    """Build both arms before anything is measured, and remove them on exit, whatever happens.

    Args:
        base: the reference of the first arm.
        head: the reference of the second arm.
        packages: folders inside a revision or directory that are installed; ``.`` is its top.

    Raises `UsageError` with the last lines of pip's output if an arm cannot be built.
    """
    scratch = Path(tempfile.mkdtemp(prefix="genbench-ab-"))
    try:
        arms = [_build(name, reference, scratch, packages) for name, reference in (("base", base), ("head", head))]
        yield arms[0], arms[1]
    finally:
        for reference in (base, head):
            _remove_worktrees(reference, scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def _build(name: str, reference: Reference, scratch: Path, packages: Sequence[str]) -> Arm:
    site, place = scratch / f"{name}-site", scratch / f"{name}-place"
    place.mkdir()
    if reference.kind == "wheel":
        sources = [reference.path]
    else:
        root = _check_out(reference, scratch / name) if reference.kind == "revision" else reference.path
        sources = [root / package for package in packages]
        missing = next(
            (p for p, s in zip(packages, sources, strict=True) if not (s / "pyproject.toml").is_file()), None
        )
        if missing is not None:
            raise UsageError(
                f"{name} {reference.label}: there is no pyproject.toml in '{missing}'.",
                "Name the folders of the packages under test with --package.",
                code="GB804",
            )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(site), *map(str, sources)],
        capture_output=True,
        text=True,
        check=False,
        cwd=place,
        env={**os.environ, "DIST_EXTRA_CONFIG": str(_build_elsewhere(scratch / f"{name}-build"))},
    )
    if done.returncode != 0:
        raise UsageError(f"{name} {reference.label} cannot be built:", _last_output(done), code="GB804")
    return Arm(name, reference.label, _environment(name, site), place)


def _build_elsewhere(folder: Path) -> Path:
    """Return a configuration that makes setuptools build in a separate folder.

    In a directory that is measured as it is, setuptools would leave `build/` behind, and include leftovers of older
    builds.
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


def _last_output(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    relevant = [line for line in lines if not line.lstrip().startswith(("note:", "hint:", "╰─>"))]
    return "\n".join(relevant[-LAST_LINES:]) or "pip printed nothing."


def _check_out(reference: Reference, tree: Path) -> Path:
    command = ["git", "-C", str(reference.path), "worktree", "add", "--quiet", "--detach", str(tree), reference.commit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()[-LAST_LINES:]
        raise UsageError(
            f"{reference.label} cannot be checked out:", "\n".join(lines) or "git printed nothing.", code="GB804"
        )
    return tree


def _remove_worktrees(reference: Reference, scratch: Path) -> None:
    """Remove the checkouts from git, so that no trace of them is left in the user's repository."""
    if reference.kind != "revision":
        return
    for name in ("base", "head"):
        tree = scratch / name
        if tree.exists():
            with contextlib.suppress(OSError):
                command = ["git", "-C", str(reference.path), "worktree", "remove", "--force", str(tree)]
                subprocess.run(command, capture_output=True, check=False)
