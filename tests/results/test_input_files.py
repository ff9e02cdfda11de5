"""Reading files that the user named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genbench.errors import UsageError
from genbench.results.input_files import read_toml


def test_a_pipe_of_the_shell_is_read() -> None:
    read, write = os.pipe()
    os.write(write, b'models = "vae"')
    os.close(write)
    try:
        assert read_toml(Path(f"/dev/fd/{read}")) == {"models": "vae"}
    finally:
        os.close(read)


def test_a_pipe_in_a_folder_is_refused_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plan.toml")
    with pytest.raises(UsageError, match="a pipe"):
        read_toml(tmp_path / "plan.toml")
