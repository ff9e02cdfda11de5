"""A log keeps its beginning and its end, however much a plugin prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import TINY, run

from genbench.runner.log_file import LARGEST, shorten


def test_a_long_log_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log = tmp_path / "cell.log"
    log.write_bytes(b"first line\n" + b"x" * 10_000 + b"\nlast line\n")
    shorten(log, largest=1000, kept=100)
    text = log.read_text()
    assert text.startswith("first line\n")
    assert text.endswith("\nlast line\n")
    assert "[genbench removed 9,822 bytes from the middle of this log]" in text
    assert len(text) < 300


def test_a_short_log_and_a_missing_one_stay(tmp_path: Path) -> None:
    log = tmp_path / "cell.log"
    shorten(log)
    assert not log.exists()
    log.write_bytes(b"x" * 1000)
    shorten(log, largest=1000, kept=100)
    assert log.read_bytes() == b"x" * 1000


def test_a_process_that_still_writes_appends_to_the_end(tmp_path: Path) -> None:
    log = tmp_path / "cell.log"
    writer = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(writer, b"x" * 10_000)
    shorten(log, largest=1000, kept=100)
    os.write(writer, b"later\n")
    os.close(writer)
    assert log.read_bytes().endswith(b"x" * 100 + b"later\n")
    assert log.stat().st_size < 400


@pytest.mark.slow
def test_a_plugin_that_prints_without_end_leaves_a_bounded_log(tmp_path: Path) -> None:
    plugin = tmp_path / "loud.py"
    plugin.write_text(
        "import genbench\n"
        "def build(image_shape, latent_dim, num_classes, options):\n"
        "    for _ in range(100):\n"
        "        print('x' * 1_000_000)\n"
        "    raise ValueError('after all that')\n"
        "@genbench.hookimpl\n"
        "def genbench_models():\n"
        "    yield genbench.ModelSpec(name='loud', family='variational', default_loss='elbo', latent_dim=2,\n"
        "        build=build, value_range=(0.0, 1.0), output='logits')\n"
    )
    done = run(*TINY, "--plugin", str(plugin), "--models", "loud", out=tmp_path / "run")
    (cell,) = done.run_cells
    assert "after all that" in cell.reason
    log = (done.run / "logs" / f"{cell.id}.log").read_text()
    assert len(log) < LARGEST
    assert "bytes from the middle of this log" in log
    assert "ValueError: after all that" in log
