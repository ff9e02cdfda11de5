"""The disks that genbench writes to: the cache, the working directory and shared memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from genbench.doctor.finding import Figure, Finding, failed, not_applicable, passed, warning
from genbench.results.cache import cache_directory, make_private
from genbench.system.means import uses_linux

_TRIAL_BYTES = 2**20  # written, to see that writing works
_LEAST, _COMFORTABLE = 2**28, 2**32  # bytes of free space: the default dataset and a few cells, or many of them
_LEAST_SHARED, _COMFORTABLE_SHARED = 2**26, 2**29  # bytes; the former is what Docker gives a container by default


def cache(device: str) -> Finding:
    """Fail where the cache cannot be written to, others can write to it, or its disk is full."""
    folder = cache_directory()
    found = _disk(folder, "cache", "Set GENBENCH_CACHE to a folder that you can write to, on a disk with free space.")
    if found.status == "failed" or make_private(folder):
        return found
    return failed(
        f"Others can write to {shown(folder)}, or to a folder above it: they could exchange the images and weights "
        "that you measure with.",
        f"chmod 700 {shown(folder)}. If that does not help, a folder above it is open to others: set GENBENCH_CACHE to "
        "a folder of your own.",
        *found.figures,
    )


def working_directory(device: str) -> Finding:
    """Fail where results cannot be written to the working directory."""
    return _disk(Path.cwd(), "working directory", "Change to another folder, or write elsewhere with --out.")


def temporary_files(device: str) -> Finding:
    """Fail where the system's directory for temporary files is missing, cannot be written to or is full."""
    remedy = "Free some disk space there, or set TMPDIR to a folder that you can write to."
    try:
        return _disk(Path(tempfile.gettempdir()), "directory for temporary files", remedy)
    except FileNotFoundError as error:
        return failed(f"There is no directory for temporary files: {error.strerror}.", remedy)


def shared_memory(device: str) -> Finding:
    """Fail where /dev/shm is missing, cannot be written to or is smaller than what loaders need."""
    folder = Path("/dev/shm")
    if not uses_linux():
        return not_applicable("only Linux has /dev/shm")
    if not folder.is_dir():
        return failed("There is no /dev/shm.", "Mount it: mount -t tmpfs tmpfs /dev/shm. Or use --loader-workers 0.")
    space = os.statvfs(folder)
    size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    figures = (Figure("size", size / 2**30, "GiB"), Figure("free", free / 2**30, "GiB"))
    remedy = "In a container, start it with more (docker run --shm-size=2g); else mount it larger, or free it."
    least = min(size, free)
    if least < _LEAST_SHARED:
        return failed(
            f"/dev/shm has {least / 2**20:.3g} MiB: loader processes and NCCL fail ('No space left', bus error).",
            f"{remedy} Or use --loader-workers 0.",
            *figures,
        )
    refusal = _write_trial(folder)
    if refusal:
        return failed(f"/dev/shm cannot be written to: {refusal}.", remedy, *figures)
    if least < _COMFORTABLE_SHARED:
        return warning(f"/dev/shm has {least / 2**20:.3g} MiB; large batches may not fit.", remedy, *figures)
    return passed(*figures)


def shown(folder: Path) -> str:
    """Return a path for a report, which should not name the user."""
    home = os.environ.get("HOME", "") or os.environ.get("USERPROFILE", "")
    text = str(folder)
    return f"~{text[len(home) :]}" if len(home) > 1 and (text == home or text.startswith(f"{home}/")) else text


def _disk(folder: Path, name: str, remedy: str) -> Finding:
    figures = [Figure("path", shown(folder))]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return failed(f"The {name} {shown(folder)} cannot be used: {error.strerror}.", remedy, *figures)
    figures.append(Figure("free", free / 2**30, "GiB"))
    refusal = _write_trial(folder)
    if refusal:
        return failed(f"The {name} {shown(folder)} cannot be written to: {refusal}.", remedy, *figures)
    short = f"The disk of the {name} {shown(folder)} has {free / 2**20:,.0f} MiB left"
    if free < _LEAST:
        return failed(f"{short}: runs will fail.", f"Free some disk space. {remedy}", *figures)
    if free < _COMFORTABLE:
        return warning(f"{short}.", f"Free some disk space before long runs. {remedy}", *figures)
    return passed(*figures)


def _write_trial(folder: Path) -> str:
    """Write a file for real, because permissions do not stop root, and quotas are not in the free space."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""
