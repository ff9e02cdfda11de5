"""Archives: what they hold, that reading one equals reading the run, and that a bad one is refused with the reason."""

from __future__ import annotations

import gc
import random
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from example_runs import cell, changed, choice, identity, reference, stored

import genbench
from genbench.cli import invoke
from genbench.errors import ExitCode, UsageError
from genbench.report.archive import pack
from genbench.results.archive import MANIFEST, problem_of_member
from genbench.results.schema import PlannedCell
from genbench.results.store import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with two seeds, one cell that failed, one not run, one damaged, reference rows, pictures and weights."""
    failed = changed(cell("vae-1"), status="failed", reason="x")
    cells = [
        cell("gan-1"), cell("gan-2", identity("gan", seed=1), 1300.0), failed,
        PlannedCell(id="late-1", identity=identity("late")), PlannedCell(id="torn-1", identity=identity("torn")),
    ]  # fmt: skip
    found = stored(tmp_path / "first run", *cells, references=(reference(),))
    found.cell_path("torn-1").write_bytes(b'{"schema_version": 1, "id"')
    found.sample_path("gan-1").write_bytes(b"\x89PNG picture")
    found.checkpoint_path("gan-1").write_bytes(b"weights")
    found.resume_path("gan-2").write_bytes(b"state")
    found.log_path("gan-2").write_bytes(b"secret")
    return found


def packed(run: RunDirectory, path: Path, **options: bool) -> Path:
    return pack(run, path, **options).path


def names(path: Path) -> set[str]:
    return set(zipfile.ZipFile(path).namelist())


def test_what_a_reader_needs_is_packed_and_no_more(run: RunDirectory, tmp_path: Path) -> None:
    results = {
        "cells/gan-1.json",
        "cells/gan-2.json",
        "cells/vae-1.json",
        "cells/torn-1.json",
        "references/mini-ref.json",
    }
    always = {*results, MANIFEST, "run.json", "README.md", "table.md", "table.csv"}
    assert names(packed(run, tmp_path / "a.zip")) == always | {"samples/gan-1.png"}
    assert names(packed(run, tmp_path / "b.zip", pictures=False)) == always
    everything = always | {"samples/gan-1.png", "checkpoints/gan-1.safetensors"}
    assert names(packed(run, tmp_path / "c.zip", weights=True)) == everything


def test_the_same_run_gives_the_same_bytes(run: RunDirectory, tmp_path: Path) -> None:
    first = packed(run, tmp_path / "a.zip", weights=True).read_bytes()
    run.cell_path("gan-1").touch()
    assert packed(run, tmp_path / "b.zip", weights=True).read_bytes() == first


def test_every_number_of_an_archive_is_that_of_the_run(run: RunDirectory, tmp_path: Path) -> None:
    path = packed(run, tmp_path / "first run.zip")
    there, here = genbench.load(run.path), genbench.load(path)
    for layout in ("wide", "long", "curves", "windows", "evaluations"):
        assert here.to_pandas(layout).equals(there.to_pandas(layout))
    for format in ("csv", "json", "github"):
        assert here.table().text(format) == there.table().text(format)
    assert [one.status for one in here] == ["ok", "ok", "failed", "not run", "damaged"]
    assert here.cell("gan-1").pictures["samples"].read_bytes() == b"\x89PNG picture"
    assert here.cell("gan-1").weights == {}
    assert [*here.damaged] == [str(tmp_path / "first run.zip" / "cells" / "torn-1.json")]


def test_the_tables_of_the_archive_are_those_of_the_run(run: RunDirectory, tmp_path: Path) -> None:
    archive = zipfile.ZipFile(packed(run, tmp_path / "a.zip"))
    assert archive.read("table.csv").decode() == genbench.load(run.path).table(over_seeds=False).text("csv")


def test_the_temporary_folder_lives_as_long_as_the_results(run: RunDirectory, tmp_path: Path) -> None:
    results = genbench.load(packed(run, tmp_path / "a.zip"))
    folder = results.runs[0].path
    cells = results.cells
    del results
    gc.collect()
    assert cells[0].pictures["samples"].is_file()
    del cells
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize("command", ["table", "show", "history"])
def test_commands_read_archives_and_name_them(
    command: str, run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = packed(run, tmp_path / "a.zip")
    assert invoke([command, str(path)]) == 0
    out = capsys.readouterr().out
    assert "gan" in out
    assert "genbench-archive-" not in out
    if command == "show":
        assert str(path / "samples" / "gan-1.png") in out


@pytest.mark.parametrize("arguments", [["run", "--resume"], ["measure", "--metrics", "kd"], ["archive"]])
def test_commands_that_write_refuse_archives(
    arguments: list[str], run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = packed(run, tmp_path / "a.zip")
    before = path.read_bytes()
    assert invoke([*arguments, str(path)]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "is an archive, which can only be read" in error
    assert f"unzip {path} -d {tmp_path / 'a'}" in error
    assert path.read_bytes() == before


def test_the_report_of_an_archive_goes_elsewhere(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = packed(run, tmp_path / "a.zip")
    assert invoke(["report", str(path)]) == ExitCode.USAGE
    assert "--out report.html" in capsys.readouterr().err
    assert invoke(["report", str(path), "--out", str(tmp_path / "report.html")]) == 0
    assert "gan" in (tmp_path / "report.html").read_text()


def test_the_command_packs_beside_the_run_and_replaces_nothing(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["archive", str(run.path), "--weights"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == run.path.with_name("first run.zip")
    assert "checkpoints/gan-1.safetensors" in names(path)
    assert path.stat().st_mode & 0o777 == run.record_path.stat().st_mode & 0o777
    assert invoke(["archive", str(run.path)]) == ExitCode.USAGE
    assert "exists already" in capsys.readouterr().err
    assert [*run.path.parent.glob(".*")] == []


def test_what_cannot_be_packed_is_said(run: RunDirectory, tmp_path: Path) -> None:
    (run.path / "samples" / "link.png").symlink_to("/etc/hostname")
    with pytest.warns(UserWarning, match=r"left out: samples/link.png is not a regular file"):
        genbench.archive(run.path, tmp_path / "a.zip")
    assert "samples/link.png" not in names(tmp_path / "a.zip")


def test_a_full_or_read_only_disk_leaves_nothing(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Choose another --out"):
        pack(run, tmp_path / "missing" / "a.zip")


def test_the_card_has_metadata_numbers_and_commands(run: RunDirectory, tmp_path: Path) -> None:
    card = zipfile.ZipFile(packed(run, tmp_path / "a.zip", weights=True)).read("README.md").decode()
    _, metadata, body = card.split("---\n", 2)
    assert "library_name: genbench\n" in metadata
    assert '- {"type": "fd-cnn", "value": 34.5678, "standard_error": 0.6543, "n": 2000' in metadata
    assert "weights: checkpoints/gan-1.safetensors" in body
    assert "\n    genbench run --models gan" in body
    assert "status: damaged" in body


def test_hostile_names_do_not_leave_the_metadata_or_the_code_block(tmp_path: Path) -> None:
    name = 'x"\n---\n<script>\u202e`'
    asked = msgspec.structs.replace(identity(), dataset=choice(name, path=name))
    card = zipfile.ZipFile(packed(stored(tmp_path / "r", cell("gan-1", asked)), tmp_path / "a.zip")).read("README.md")
    lines = card.decode().splitlines()
    assert lines.count("---") == 2
    assert not any("\u202e" in line for line in lines)
    body = card.decode().split("---\n", 2)[2]
    assert all(line.startswith("    ") for line in body.splitlines() if "<script>" in line)


# ----------------------------------------------------------------------------------------------------------------------
# Bad archives


def rewritten(
    path: Path, change: Callable[[dict[str, bytes], Any], object], info: Callable[[zipfile.ZipInfo], object] = id
) -> Path:
    """Write the archive again with other members or another manifest."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
        manifest = msgspec.json.decode(archive.read(MANIFEST))
    change(members, manifest)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in [*members.items(), (MANIFEST, msgspec.json.encode(manifest))]:
            entry = zipfile.ZipInfo(name.partition("\0")[0])
            if name == "run.json":
                info(entry)
            archive.writestr(entry, content)
    return path


def test_a_changed_file_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    def change(members: dict[str, bytes], manifest: Any) -> None:
        members["cells/gan-1.json"] = members["cells/gan-1.json"].replace(b"34.5678", b"14.5678")

    with pytest.raises(UsageError, match=r"'cells/gan-1.json' is not the file that was packed"):
        RunDirectory.open(rewritten(packed(run, tmp_path / "a.zip"), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda members, manifest: members.pop("cells/gan-1.json"), "'cells/gan-1.json' is missing"),
        (lambda members, manifest: members.update({"cells/new-1.json": b"{}"}), "does not name 'cells/new-1.json'"),
        (lambda members, manifest: members.update({"../evil.json": b""}), "does not belong to a run"),
        (lambda members, manifest: members.update({"/etc/evil": b""}), "does not belong to a run"),
        (lambda members, manifest: members.update({"cells/../../evil.json": b""}), "does not belong to a run"),
        (lambda members, manifest: members.update({"cells\\evil.json": b""}), "not a name that genbench gives"),
        (lambda members, manifest: members.update({"run.py": b""}), "does not belong to a run"),
        (lambda members, manifest: members.update({"samples/x.svg": b""}), "does not belong to a run"),
        (lambda members, manifest: members.update({"cells/a\x1b[2J.json": b""}), "not a name that genbench gives"),
        (lambda members, manifest: members.update({"run.json\0again": b"{}"}), "it has two files 'run.json'"),
        (lambda members, manifest: manifest["files"]["run.json"].update(bytes=7), "bytes, not the 7 of its manifest"),
        (lambda members, manifest: manifest["files"]["run.json"].update(bytes=-1), "negative size"),
        (lambda members, manifest: manifest.update(archive_version=99), "was written by a newer genbench"),
        (lambda members, manifest: manifest.pop("files"), "its manifest is damaged"),
        (lambda members, manifest: (members.pop("run.json"), manifest["files"].pop("run.json")), "it has no run.json"),
    ],
)  # fmt: skip
def test_members_and_manifest_must_agree(change: Any, message: str, run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        RunDirectory.open(rewritten(packed(run, tmp_path / "a.zip"), change))
    assert message in str(refused.value)
    assert not (tmp_path / "evil.json").exists()


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (lambda entry: setattr(entry, "external_attr", (stat.S_IFLNK | 0o777) << 16), "is a link or a special file"),
        (lambda entry: setattr(entry, "compress_type", zipfile.ZIP_BZIP2), "compressed in a way"),
    ],
)
def test_links_and_other_compressions_are_refused(info: Any, message: str, run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        RunDirectory.open(rewritten(packed(run, tmp_path / "a.zip"), lambda *_: None, info))


def test_an_encrypted_member_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    path = packed(run, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := content.find(signature, place + 1)) >= 0:
            content[place + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is encrypted"):
        RunDirectory.open(path)


def test_a_bomb_is_refused_before_it_is_unpacked(run: RunDirectory, tmp_path: Path) -> None:
    path = packed(run, tmp_path / "a.zip")
    size = 300 * 2**20

    def change(members: dict[str, bytes], manifest: Any) -> None:
        manifest["files"]["samples/bomb.png"] = {"bytes": size, "sha256": "0" * 64}

    rewritten(path, change)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("samples/bomb.png", "w") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 2**20
    with pytest.raises(UsageError, match="more than an archive of its size can hold"):
        RunDirectory.open(path)


def test_another_zip_file_and_another_file_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("README.md", "x")
    with pytest.raises(UsageError, match=r"is not an archive of a run \(it has no manifest.json\)"):
        RunDirectory.open(tmp_path / "other.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(UsageError, match="is neither a run nor an archive of one"):
        RunDirectory.open(tmp_path / "text.zip")


def test_damage_anywhere_is_an_error_with_a_reason_never_a_crash(run: RunDirectory, tmp_path: Path) -> None:
    whole = packed(run, tmp_path / "a.zip").read_bytes()
    order = random.Random(1)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        if order.random() < 0.2:
            del content[order.randrange(len(content)) :]
        for _ in range(order.choice((1, 1, 4))):
            if content:
                content[order.randrange(len(content))] ^= 1 << order.randrange(8)
        path = tmp_path / "damaged.zip"
        path.write_bytes(content)
        try:
            found = RunDirectory.open(path).read()
        except UsageError:
            refused += 1
        else:  # a date or a comment
            assert found.cells.results.keys() == run.read_cells().results.keys()
    assert refused > 250


def test_names_of_members() -> None:
    for good in ("run.json", "cells/a.b.json", "samples/a-reconstructions.png", "checkpoints/a.best.safetensors"):
        assert not problem_of_member(good)
    for bad in (
        "",
        "cells/",
        "cells/.json",
        "cells/.x.json",
        "cells/a/b.json",
        "logs/a.log",
        "cells/a.JSON",
        "a" * 400,
    ):
        assert problem_of_member(bad)


def test_a_large_manifest_is_not_read(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genbench.results.archive._MOST_MANIFEST_BYTES", 10)
    with pytest.raises(UsageError, match="its manifest is too large"):
        RunDirectory.open(packed(run, tmp_path / "a.zip"))
