"""A host with a GPU: what trains on the CPU does not touch it, and one unusable GPU does not spoil the others."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import TINY, run

from genbench.commands import device as devices
from genbench.errors import UsageError
from genbench.measure import accelerator

PRETENDED = Path(__file__).parents[1] / "support" / "pretended_gpu"


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_cells_on_the_cpu_do_not_look_for_a_gpu(processes: int, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    path = f"{PRETENDED}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    given = ("--models", "gan", "--device", "cpu", "--nproc", str(processes))
    variables = {"PYTHONPATH": path, "PRETENDED_GPU": str(asked)}
    done = run(*TINY, *given, out=tmp_path / "run", fresh=True, **variables)
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (0, "ok"), cell.reason
    assert asked.with_suffix(".possible").exists()  # torch was made to report it
    assert not asked.exists(), asked.read_text()


class Gpus:
    """Three GPUs, of which the second has no memory left."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.touched: list[str] = []
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
        monkeypatch.setattr(torch, "zeros", self.zeros)

    def zeros(self, size: int, device: str) -> None:
        self.touched.append(device)
        if device == "cuda:1":
            raise RuntimeError("CUDA error: out of memory\nmore")


def test_only_devices_that_are_asked_for_are_tried_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch)
    names = ["GPU 0", "GPU 1", "GPU 2"]
    for wanted, count, tried in (("cpu", 1, []), ("cuda", 1, ["cuda:0"]), ("cuda:2", 1, ["cuda:2"])):
        found = accelerator.devices(wanted, count)
        assert gpus.touched == tried
        assert found["cuda"] == ([] if wanted == "cpu" else names)
        assert "cuda_unusable" not in found
        gpus.touched.clear()
    found = accelerator.devices("all")
    assert gpus.touched == ["cuda:0", "cuda:1", "cuda:2"]
    assert (found["cuda"], found["cuda_unusable"]) == (names, {"1": "CUDA error: out of memory"})


def test_the_device_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(monkeypatch)

    def asked(pool: Any, wanted: str, count: int) -> dict[str, Any]:
        return accelerator.devices(wanted, count)

    monkeypatch.setattr(devices, "ask_devices", asked)
    pool: Any = SimpleNamespace()
    for device in ("cpu", "cuda:0", "cuda:2"):
        devices.require_device(pool, [], device, chosen=True)
    with pytest.raises(UsageError, match=r"'cuda:1' cannot be used: CUDA error: out of memory") as caught:
        devices.require_device(pool, [], "cuda:1", chosen=True)
    assert "--device cuda:0" in str(caught.value)
    with pytest.raises(UsageError, match="number of CUDA devices: 3"):
        devices.require_device(pool, [], "cuda:3", chosen=True)
