"""A run directory: nothing is ever half there, and one damaged file costs only itself."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, estimate, identity, plan, reference, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from genbench.cli import invoke
from genbench.errors import ExitCode, UsageError
from genbench.results import files, store
from genbench.results.schema import SCHEMA_VERSION, CurvePoint, PlannedCell
from genbench.results.store import RunDirectory, atomic_write, find_runs, read_runs


def disk_full(*_: Any, **__: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    first, second, rows = cell("gan-1"), cell("vae-1"), reference()
    run = RunDirectory.open(stored(tmp_path / "run", first, second, references=(rows,)).path)
    assert run.record == plan(first, second)
    assert run.read_cells().results == {"gan-1": first, "vae-1": second}
    assert run.read_references().results == {rows.id: rows}
    assert run.read_cells().damaged == {}


def test_files_are_indented_json_that_others_may_read(tmp_path: Path) -> None:
    path = stored(tmp_path / "run", cell("gan-1")).cell_path("gan-1")
    assert json.loads(path.read_text())["id"] == "gan-1"
    assert path.read_text().startswith('{\n  "')
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_named_and_costs_only_itself(tmp_path: Path, share: float) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"), references=(reference(),))
    for path in (run.cell_path("gan-1"), run.reference_path("mini-ref")):
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert list(run.read_cells().results) == ["vae-1"]
    assert list(run.read_cells().damaged) == ["gan-1"]
    assert list(run.read_references().damaged) == ["mini-ref"]


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_at_all_are_fatal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    run = stored(tmp_path_factory.mktemp("any") / "run", cell("gan-1"))
    run.cell_path("gan-1").write_bytes(data)
    assert list(run.read_cells().damaged) == ["gan-1"]


def test_a_result_under_another_name_is_damage(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    run.cell_path("gan-1").rename(run.cell_path("gan-2"))
    assert "gan-1" in run.read_cells().damaged["gan-2"]


def test_deeply_nested_rubbish_is_damage(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    run.cell_path("gan-1").write_bytes(b'{"schema_version":1,"identity":' + b"[" * 200_000)
    assert list(run.read_cells().damaged) == ["gan-1"]


def test_a_newer_format_is_refused_in_words(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    for path in (run.cell_path("gan-1"), run.record_path):
        stored_record = json.loads(path.read_text())
        path.write_text(json.dumps({"schema_version": SCHEMA_VERSION + 1, "new shape": stored_record}))
    assert "newer genbench" in run.read_cells().damaged["gan-1"]
    with pytest.raises(UsageError, match=r"newer genbench[\s\S]*Upgrade"):
        RunDirectory.open(run.path)


def test_fields_of_a_newer_version_with_the_same_format_are_ignored(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    path = run.cell_path("gan-1")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"field of tomorrow": 1}))
    assert run.read_cells().results["gan-1"] == cell("gan-1")


def test_numbers_that_are_not_finite_survive(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    curves = [CurvePoint(step=1, images=32, terms={"loss": math.nan, "other": math.inf})]
    estimates = [estimate("fd-cnn", math.nan), estimate("psnr", 17.0, math.nan)]
    run.write_cell(changed(cell("gan-1"), curves=curves, estimates=estimates))
    read = run.read_cells().results["gan-1"]
    assert read.curves[0].terms == {"loss": None, "other": None}
    assert [(e.metric, e.value, e.standard_error) for e in read.estimates] == [("psnr", 17.0, None)]
    assert [(u.metric, u.reason) for u in read.unavailable] == [("fd-cnn", "its value was nan")]


def test_text_in_another_encoding_does_not_lose_the_cell(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    run.write_cell(changed(cell("gan-1"), status="failed", reason="plugin said \udcff\udcfe"))
    assert run.read_cells().results["gan-1"].reason == "plugin said ??"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")
    for function in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, disk_full)
            with pytest.raises(OSError, match="No space"):
                atomic_write(path, b"new")
        assert [p.name for p in tmp_path.iterdir()] == ["file"]
        assert path.read_bytes() == b"old"
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"


def test_writes_of_a_few_bytes_at_a_time_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    atomic_write(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_full_disk_is_said_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    monkeypatch.setattr(os, "write", disk_full)
    with pytest.raises(UsageError, match=r"No space left[\s\S]*Free some space, or choose another --out"):
        RunDirectory.create(tmp_path / "other", plan())
    with pytest.raises(UsageError, match=r"No space left[\s\S]*genbench run --resume"):
        run.write_cell(changed(cell("gan-1"), status="failed"))
    monkeypatch.undo()
    assert run.read_cells().results["gan-1"].status == "ok"
    RunDirectory.create(tmp_path / "other", plan())  # the failed attempt left nothing in the way


def test_a_directory_in_use_is_not_written_to(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    with pytest.raises(UsageError, match=r"genbench run --resume"):
        RunDirectory.create(run.path, plan())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    with pytest.raises(UsageError, match=r"not empty[\s\S]*--out"):
        RunDirectory.create(tmp_path / "mine", plan())
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Cannot write"):
        RunDirectory.create(tmp_path / "file" / "run", plan())
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(tmp_path / "empty", plan()).record.cells == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory_is_said_with_its_cure(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match=r"Permission denied[\s\S]*--out"):
        RunDirectory.create(tmp_path / "run", plan())


def test_opening_what_is_no_run_names_the_runs_nearby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"does not exist[\s\S]*genbench run"):
        RunDirectory.open("nothing")
    stored(Path("results/monday-gan"), cell("gan-1"))
    with pytest.raises(UsageError, match=r"does not exist[\s\S]*results/monday-gan"):
        RunDirectory.open("nothing")
    with pytest.raises(UsageError, match=r"Did you mean 'monday-gan'"):
        RunDirectory.open("results/munday-gan")
    with pytest.raises(UsageError, match=r"is not a run[\s\S]*results/monday-gan"):
        RunDirectory.open("results")
    assert find_runs("results") == [Path("results/monday-gan")]
    assert find_runs("nowhere") == []


def test_a_damaged_plan_says_so(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    run.record_path.write_bytes(run.record_path.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"run\.json is damaged"):
        RunDirectory.open(run.path)


def test_a_part_names_a_cell_if_it_names_one_only(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-a1"), cell("gan-a12"), cell("vae-b2"))
    assert run.find_cell("b2").id == "vae-b2"
    assert run.find_cell("gan-a1").id == "gan-a1"  # whole ids win over parts
    with pytest.raises(UsageError, match=r"gan-a1, gan-a12"):
        run.find_cell("gan")
    with pytest.raises(UsageError, match=r"Did you mean 'vae-b2'"):
        run.find_cell("vae-b3")


def test_a_variant_names_a_cell_if_it_names_one_only(tmp_path: Path) -> None:
    cells = [
        PlannedCell(id=f"gan-{n}", identity=cell(f"gan-{n}").identity, variant=name)
        for n, name in enumerate(("plain", "averaged", "plain"))
    ]
    run = stored(tmp_path / "run", *cells)
    assert run.find_cell("averaged").id == "gan-1"
    with pytest.raises(UsageError, match=r"gan-0, gan-2"):
        run.find_cell("plain")


def test_a_beginning_wins_over_a_part_further_on(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", cell("gan-hinge-1"), cell("dcgan-hinge-1"), cell("dcgan-hinge-2"))
    assert run.find_cell("gan-hinge").id == "gan-hinge-1"
    with pytest.raises(UsageError, match=r"dcgan-hinge-1, dcgan-hinge-2"):
        run.find_cell("dcgan-hinge")


@pytest.mark.parametrize("id", ["../outside", "a/b", "..", "", ".hidden"])
def test_an_id_cannot_lead_out_of_the_run(tmp_path: Path, id: str) -> None:
    with pytest.raises(UsageError, match="cannot be an id"):
        RunDirectory(tmp_path).cell_path(id)


def test_paths_of_a_cell(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    paths = [
        run.cell_path("x"),
        run.sample_path("x"),
        run.reconstruction_path("x"),
        run.closest_path("x"),
        run.training_samples_path("x"),
        run.interpolation_path("x"),
        run.checkpoint_path("x"),
        run.resume_path("x"),
        run.log_path("x"),
        run.reference_path("x"),
    ]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "cells/x.json",
        "samples/x.png",
        "samples/x-reconstructions.png",
        "samples/x.closest.png",
        "samples/x.training.webp",
        "samples/x.interpolation.png",
        "checkpoints/x.safetensors",
        "checkpoints/x.resume.safetensors",
        "logs/x.log",
        "references/x.json",
    ]


def test_runs_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    first = stored(tmp_path / "a" / "run", cell("gan-1", identity()))
    second = stored(tmp_path / "b" / "run", cell("gan-1", identity()))
    assert [run.name for run in read_runs([first.path, second.path])] == [str(first.path), str(second.path)]
    assert [run.name for run in read_runs([first.path])] == ["run"]


def test_of_two_commands_that_create_a_run_at_once_one_succeeds(tmp_path: Path) -> None:
    """In threads that start together, many times."""
    for trial in range(30):
        barrier = threading.Barrier(4)

        def create(place: Path, barrier: threading.Barrier = barrier) -> str:
            barrier.wait()
            try:
                RunDirectory.create(place, plan())
            except UsageError as error:
                return error.cause
            return ""

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(create, [tmp_path / f"run{trial}"] * 4))
        assert found.count("") == 1, found
        assert all("already contains a run" in cause or not cause for cause in found)
        assert RunDirectory.open(tmp_path / f"run{trial}").record == plan()
        assert not [path for path in (tmp_path / f"run{trial}").iterdir() if path.suffix == ".tmp"]


def test_without_hard_links_a_run_is_created_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert RunDirectory.create(tmp_path / "run", plan()).record == plan()
    with pytest.raises(UsageError, match="already contains a run"):
        RunDirectory.create(tmp_path / "run", plan())


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    temporary = tmp_path / f".file.{os.getpid()}-{threading.get_ident()}.tmp"
    temporary.symlink_to(victim)
    atomic_write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_costs_only_itself_and_does_not_block(tmp_path: Path, kind: str) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"))
    path = run.cell_path("gan-1")
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    cells = run.read_cells()
    assert list(cells.results) == ["vae-1"]
    assert list(cells.damaged) == ["gan-1"]


def test_a_folder_that_cannot_be_listed_is_not_one_without_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(tmp_path / "run", cell("gan-1"))
    assert invoke(["report", str(run.path)]) == 0
    before = (run.path / "table.md").read_bytes()

    def forbidden(path: object) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "listdir", forbidden)
    with pytest.raises(UsageError, match=r"cells cannot be listed: Permission denied[\s\S]*make it readable"):
        run.read()
    assert invoke(["report", str(run.path)]) == ExitCode.USAGE
    assert (run.path / "table.md").read_bytes() == before


def test_a_file_in_place_of_the_folder_of_results_is_an_error(tmp_path: Path) -> None:
    run = stored(tmp_path / "run")
    (run.path / "cells").rmdir()
    assert run.read().cells.results == {}
    (run.path / "cells").write_text("")
    with pytest.raises(UsageError, match=r"cells cannot be listed: Not a directory"):
        run.read()


def test_a_cell_that_is_added_leaves_the_others_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(tmp_path / "run", cell("gan-1"), cell("vae-1"))
    assert run.read_statuses() == {"gan-1": "ok", "vae-1": "ok"}
    read: list[str] = []

    def noted(path: Path) -> bytes:
        read.append(path.name)
        return files.read_regular_file(path)

    monkeypatch.setattr(store, "read_regular_file", noted)
    longer = run.with_cells([PlannedCell(id="gan-2", identity=identity("gan", seed=2))])
    longer.write_cell(cell("gan-2", identity("gan", seed=2)))
    assert longer.read_statuses() == {"gan-1": "ok", "gan-2": "ok", "vae-1": "ok"}
    assert [planned.id for planned in longer.record.cells] == ["gan-1", "vae-1", "gan-2"]
    assert read == ["gan-2.json"]
    assert RunDirectory.open(run.path).record == longer.record
