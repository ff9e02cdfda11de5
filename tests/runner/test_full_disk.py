"""Disks that are full from the start, or become full: a small file system is really mounted, in a namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import warm
from command_line import TINY, WITH_FAULTS, snapshot
from small_disk import CannotMount, Disk, mounted

KIB = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        with mounted(tmp_path) as disk:
            yield disk
    except CannotMount as reason:
        pytest.skip(str(reason))


def test_a_disk_that_is_full_from_the_start(disk: Disk) -> None:
    disk.sh(f"head -c 64m /dev/zero > {disk.path}/filler 2>/dev/null || true")
    assert disk.free() == 0
    done = disk.run(*WITH_FAULTS, "--models", "sound")
    assert done.code == 2
    assert "No space left on device" in done.err
    assert "Free some space" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_finished_results_survive_a_disk_that_becomes_full(disk: Disk) -> None:
    filler = disk.path / "filler"
    full = disk.run(*WITH_FAULTS, "--models", "sound,fills-the-disk,unused-parameter", FAULTS_FILL=str(filler))
    assert full.code == 5
    assert "The result of fills-the-disk-" in full.err
    assert "No space left on device" in full.err
    assert f"Free some space or fix the permissions, then: genbench run --resume {disk.path / 'run'}" in full.err
    assert "Traceback" not in full.err
    assert {name: cell.status for name, cell in full.cells.items()} == {"sound": "ok"}
    finished = snapshot(full.run / "cells")

    (disk.seen_from_here / "filler").unlink()
    resumed = disk.run(resume=True)
    assert resumed.code == 0, resumed.err
    assert {cell.status for cell in resumed.cells.values()} == {"ok"}
    assert len(resumed.cells) == 3
    after = snapshot(resumed.run / "cells")
    assert {name: after[name] for name in finished} == finished
    assert not list(resumed.run.rglob("*.tmp"))


@pytest.mark.slow
def test_large_files_without_space_do_not_affect_the_measurements(disk: Disk) -> None:
    """There is space for plan, results and log, but not for weights of a megabyte, nor for the checkpoint."""
    disk.resize(400 * KIB)
    done = disk.run(*WITH_FAULTS, "--models", "vae", "--set", "vae.hidden=200", GENBENCH_CHECKPOINT_SECONDS="0")
    cell = done.cells["vae"]
    assert (cell.status, cell.steps) == ("ok", 2)
    notes = "\n".join(cell.notes)
    assert "no checkpoint could be written (No space left on device)" in notes
    assert "the weights could not be written: No space left on device" in notes
    assert done.code == 0
    assert not list((done.run / "checkpoints").iterdir())


def test_a_read_only_directory(disk: Disk) -> None:
    disk.sh(f"mount -o remount,ro {disk.path}")
    done = disk.run(*WITH_FAULTS, "--models", "sound")
    assert done.code == 2
    assert "Cannot write" in done.err
    assert "Read-only file system" in done.err
    assert "another --out" in done.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = warm.run(*TINY, "--models", "vae", "--set", "vae.hidden=16", out=tmp_path_factory.mktemp("full") / "run")
    assert done.code == 0, done.err
    return done.run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["images", "images.npz", "grid.png"])
def test_samples_that_do_not_fit_leave_nothing_and_can_be_drawn_again(disk: Disk, trained: Path, name: str) -> None:
    disk.resize(16 * KIB)
    out = disk.path / name
    command = ("sample", str(trained), "--cell", "vae", "-n", "200", "--out", str(out))
    full = warm.command(*command, namespaces_of=disk.holder)
    assert full.returncode == 2, full.stderr
    assert f"Cannot write {out}: No space left on device." in full.stderr
    assert list(disk.seen_from_here.iterdir()) == []

    disk.resize(64 * 1024 * KIB)
    again = warm.command(*command, namespaces_of=disk.holder)
    assert again.returncode == 0, again.stderr
    assert (disk.seen_from_here / name).exists()
