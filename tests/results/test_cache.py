"""Where the cache lies, and when what lies there may be trusted."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from genbench.results.cache import cache_directory, make_private
from genbench.runner.compile_cache import keep_compiled_code
from genbench.system.opening import temporary_directory

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of a container: without HOME and without an entry in the user database."""

    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "GENBENCH_CACHE", "XDG_CACHE_HOME", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_the_variables_choose_the_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "one"))
    assert cache_directory() == tmp_path / "one"
    monkeypatch.delenv("GENBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    assert cache_directory() == tmp_path / "two" / "genbench"


def test_a_user_without_a_home_has_a_cache(homeless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_directory() == temporary_directory("cache")
    monkeypatch.setenv("GENBENCH_CACHE", "~nobody-here/cache")
    assert cache_directory() == Path("~nobody-here/cache")


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    assert make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o077 == 0
    assert make_private(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("fault", ["others", "parent", "file", "below-a-file", "link-to-shared"])
def test_a_directory_in_which_others_can_write_is_not_private(tmp_path: Path, fault: str) -> None:
    place = tmp_path / "a" / "compiled"
    place.mkdir(parents=True)
    if fault == "others":
        place.chmod(0o777)
    elif fault == "parent":
        place.parent.chmod(0o777)
    elif fault == "file":
        place.rmdir()
        place.touch()
    elif fault == "below-a-file":
        (place / "file").touch()
        place /= "file/below"
    else:
        place.rmdir()
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o777)
        place.symlink_to(tmp_path / "shared")
    assert not make_private(place)


def test_a_shared_directory_with_the_sticky_bit_may_hold_private_ones(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    assert make_private(tmp_path / "shared" / "mine")


def test_a_group_of_one_user_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    place.chmod(0o775)
    monkeypatch.setattr(os, "getegid", lambda: os.geteuid() + 1)
    assert not make_private(place)
    monkeypatch.undo()
    assert make_private(place) == (place.stat().st_gid == os.getegid() == os.geteuid())


def test_compiled_code_is_kept_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "")
    keep_compiled_code()
    assert os.environ[VARIABLE] == str(tmp_path / "compiled")
    monkeypatch.setenv(VARIABLE, "/chosen")
    keep_compiled_code()
    assert os.environ[VARIABLE] == "/chosen"


@pytest.mark.parametrize("cache", ["file/cache", "shared"])
def test_compiled_code_is_kept_elsewhere_where_the_cache_cannot_be_trusted_or_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / cache))
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keep_compiled_code()
    assert os.environ[VARIABLE] == str(temporary_directory("compiled"))
    temporary_directory("compiled").chmod(0o777)  # somebody else may have made it
    monkeypatch.setenv(VARIABLE, "")
    keep_compiled_code()
    assert Path(os.environ[VARIABLE]).name.startswith("genbench-compiled-")
    assert os.environ[VARIABLE] != str(temporary_directory("compiled"))
