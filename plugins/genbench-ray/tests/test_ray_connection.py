"""What is said when Ray or its cluster is missing, before a run begins."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import TINY, run
from genbench_ray.connection import cluster_address

import genbench

RAY = (*TINY, "--models", "vae", "--executor", "ray")


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("nowhere", "use HOST:PORT"),
        ("host:port", "use HOST:PORT"),
        ("host:99999", "use HOST:PORT"),
        ("ray://host:10001", "Ray's client (ray://) are not supported: use `ray job submit`"),
        ("http://127.0.0.1:8265", "which is not the address of the dashboard"),
    ],
)
def test_an_address_of_another_kind_is_refused(address: str, part: str) -> None:
    with pytest.raises(genbench.ExecutorUnavailable) as refused:
        cluster_address(address)
    assert part in str(refused.value)


def test_auto_means_ray_address_then_the_cluster_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(genbench.ExecutorUnavailable, match="ray start --head"):
        cluster_address("auto")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:6379\n")
    assert cluster_address("auto") == "127.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "other:6379")
    assert cluster_address("auto") == "other:6379"
    assert cluster_address("local") == "local"


def test_where_nothing_answers_a_run_says_so_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = run(*RAY, "--set", f"ray.address=127.0.0.1:{port}", out=tmp_path / "run")
    assert done.code == 2
    assert f"nothing answers at 127.0.0.1:{port} (Connection refused)" in done.err


def test_without_ray_a_run_says_how_to_get_it(tmp_path: Path) -> None:
    """Also: what is listed and planned needs no Ray."""
    (tmp_path / "ray.py").write_text("raise ImportError('no Ray here')")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import genbench_ray.connection as c\n"
        "try: c.connect('local')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("ExecutorUnavailable Ray cannot be imported (no Ray here): pip install ray")
    listing = subprocess.run(
        [sys.executable, "-c", "import genbench_ray, sys; print('ray' in sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert listing.stdout == "False\n"
