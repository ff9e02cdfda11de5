"""A run directory from elsewhere runs no code: its plugin files are loaded only with their owner's signature."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from genbench.errors import UsageError
from genbench.plugins.recorded_files import RECORDED_ONLY, Allowed, loadable_files, sign_plugin_files
from genbench.results.cache import cache_directory
from genbench.results.schema import RunRecord

KEY = "signing.key"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("# mine")
    return path


def record(*files: Path) -> RunRecord:
    return RunRecord(
        created="2026-01-01", genbench="1", profile="smoke", cells=[], plugin_files=[str(path) for path in files]
    )


def test_files_of_the_own_plan_are_loadable(plugin: Path) -> None:
    signed = sign_plugin_files(record(plugin))
    assert loadable_files(signed, RECORDED_ONLY) == [str(plugin)]
    assert loadable_files(record(), RECORDED_ONLY) == []


def test_the_key_is_private_and_stays_the_same(plugin: Path) -> None:
    first, second = sign_plugin_files(record(plugin)), sign_plugin_files(record(plugin))
    assert first == second
    key = cache_directory() / KEY
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.stat().st_size == 32


def test_a_record_without_a_signature_is_refused(plugin: Path) -> None:
    sign_plugin_files(record(plugin))
    with pytest.raises(UsageError, match=r"no command of yours.*mine\.py.*\n.*--trust-plugins"):
        loadable_files(record(plugin), RECORDED_ONLY)


def test_a_record_of_another_user_is_refused(plugin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    theirs = sign_plugin_files(record(plugin))
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "other"))
    for _ in range(2):  # without a key, then with another one
        with pytest.raises(UsageError, match="no command of yours"):
            loadable_files(theirs, RECORDED_ONLY)
        sign_plugin_files(record(plugin))


def test_another_file_under_an_old_signature_is_refused(plugin: Path, tmp_path: Path) -> None:
    signed = sign_plugin_files(record(plugin))
    other = tmp_path / "other.py"
    other.write_text("# other")
    for change in (
        {"plugin_files": [str(other)]},
        {"plugin_files": [str(plugin), str(other)]},
        {"plugin_hashes": ["0" * 64]},
        {"plugin_hashes": []},
        {"plugin_signature": "é"},
    ):
        with pytest.raises(UsageError, match="no command of yours"):
            loadable_files(msgspec.structs.replace(signed, **change), RECORDED_ONLY)


def test_a_changed_or_missing_file_is_refused_even_if_trusted(plugin: Path) -> None:
    signed = sign_plugin_files(record(plugin))
    plugin.write_text("# changed")
    for allowed in (RECORDED_ONLY, Allowed(trusted=True)):
        with pytest.raises(UsageError, match="has changed"):
            loadable_files(signed, allowed)
    plugin.unlink()
    with pytest.raises(UsageError, match=r"cannot be read.*\n.*--plugin"):
        loadable_files(signed, RECORDED_ONLY)


def test_files_that_the_user_names_replace_those_of_the_record(plugin: Path) -> None:
    assert loadable_files(record(plugin), Allowed(["new.py"])) == ["new.py"]
    assert loadable_files(record(plugin), Allowed(trusted=True)) == [str(plugin)]


@pytest.mark.parametrize("fault", ["readable", "link", "short", "directory", "pipe"])
def test_a_key_that_others_may_know_or_have_made_is_not_used(plugin: Path, tmp_path: Path, fault: str) -> None:
    signed = sign_plugin_files(record(plugin))
    key = cache_directory() / KEY
    if fault == "readable":
        key.chmod(0o644)
    elif fault == "link":
        key.rename(tmp_path / "elsewhere")
        key.symlink_to(tmp_path / "elsewhere")
    elif fault == "short":
        key.write_bytes(b"")
    else:
        key.unlink()
        key.mkdir() if fault == "directory" else os.mkfifo(key, 0o600)
    with pytest.raises(UsageError, match="no command of yours"):
        loadable_files(signed, RECORDED_ONLY)
    assert sign_plugin_files(record(plugin)).plugin_signature == ""


def test_without_a_place_for_the_key_a_plan_is_not_signed(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert sign_plugin_files(record(plugin)).plugin_signature == ""
