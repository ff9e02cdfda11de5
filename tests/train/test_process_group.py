"""Ranks wait for each other as long as it takes, in every kind of store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from torch._C._distributed_c10d import FileStore, HashStore, PrefixStore, Store

from genbench.train import process_group
from genbench.train.process_group import Group


class Waiting(Group):
    """A rank without a process group, which only waits."""

    def __init__(self, store: Store) -> None:
        self._store = PrefixStore("genbench", store)


@pytest.mark.parametrize("make", [lambda path: FileStore(str(path), 2), lambda path: HashStore()])
def test_a_message_may_come_long_after_the_first_look(
    make: Callable[[Path], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_group, "_POLL_INTERVAL", timedelta(milliseconds=20))
    store = make(tmp_path / "store")

    def answer() -> None:
        time.sleep(0.3)
        PrefixStore("genbench", store).set("key", "late")

    other = threading.Thread(target=answer)
    other.start()
    assert Waiting(store)._wait("key") == b"late"
    other.join()


def test_another_error_of_a_store_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def wait(self, *_: object) -> None:
            raise RuntimeError("the file is gone")

    rank = Waiting(HashStore())
    monkeypatch.setattr(rank, "_store", Broken())
    with pytest.raises(RuntimeError, match="the file is gone"):
        rank._wait("key")
