"""Opening and replacing files, and who else may write to them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from genbench.system import opening
from genbench.system.opening import is_for_owner_only, open_new, open_to_read, replace


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_is_followed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\nb")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with os.fdopen(open_to_read(tmp_path / "link"), "rb") as file:
        assert file.read() == b"a\nb"
    with pytest.raises(OSError):
        open_to_read(tmp_path / "link", follow_link=False)
    with pytest.raises(FileExistsError):
        open_new(tmp_path / "link")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes")
def test_only_the_owner_may_use_a_file_with_mode_600(tmp_path: Path) -> None:
    os.close(open_new(tmp_path / "key", 0o600))
    assert is_for_owner_only((tmp_path / "key").stat())
    (tmp_path / "key").chmod(0o640)
    assert not is_for_owner_only((tmp_path / "key").stat())
    assert not is_for_owner_only(tmp_path.stat())


def test_windows_is_asked_again_while_another_process_has_the_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, refusals = os.replace, iter([True, True, False])

    def busy(source: Path, target: Path) -> None:
        if next(refusals):
            raise PermissionError
        really(source, target)

    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError):
        replace(tmp_path / "new", tmp_path / "old")
    monkeypatch.setattr(opening.sys, "platform", "win32")
    replace(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
