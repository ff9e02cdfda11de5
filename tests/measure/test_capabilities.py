"""What a device can do is asked in one place, so that devices other than NVIDIA's train and measure too."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import genbench
from genbench.commands import device as devices
from genbench.errors import UsageError
from genbench.measure import accelerator
from genbench.measure.capabilities import can, float64_device
from genbench.metrics.evaluation import CellEvaluation
from genbench.sampling.latent_space import interpolate_latents, truncate

PACKAGE = Path(genbench.__file__).parent
CPU = torch.device("cpu")


def test_no_other_module_compares_a_device_with_the_name_of_a_type() -> None:
    scattered = re.compile(r"""[=!]= ["'](cuda|mps|xpu)|startswith\(["'](cuda|mps|xpu)|in \(["'](cpu|cuda)""")
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "capabilities.py"
        for line in path.read_text().splitlines()
        if scattered.search(line)
    ]
    assert found == []


def test_only_what_is_known_of_a_device_is_asked_of_it() -> None:
    assert can("cuda:1").graphs and can(torch.device("cuda", 1)).nvml
    for kind in ("cpu", "mps", "xpu", "openreg"):
        found = can(kind)
        assert not (found.graphs or found.nvml or found.profiled or found.memory_share), kind
    assert can("xpu").memory_peaks and not can("mps").memory_peaks
    assert [can(kind).collectives for kind in ("cpu", "cuda", "xpu", "mps")] == ["gloo", "nccl", "xccl", "gloo"]
    assert [can(kind).spawned for kind in ("cpu", "cuda", "openreg")] == [False, True, True]


def test_double_precision_goes_to_the_cpu_where_the_device_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: SimpleNamespace(has_fp64=device.index == 1))
    gpu = torch.device("cuda", 0)
    assert (float64_device(gpu), float64_device(CPU)) == (gpu, CPU)
    assert float64_device(torch.device("mps", 0)) == CPU
    assert float64_device(torch.device("xpu", 0)) == CPU
    assert float64_device(torch.device("xpu", 1)) == torch.device("xpu", 1)
    images = genbench.Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    given = {"samples": images, "train": images, "test": images, "extractors": {}}
    assert CellEvaluation(device=torch.device("mps", 0), **given).device == CPU
    assert CellEvaluation(device=gpu, **given).device == gpu


def test_latents_return_to_the_device_that_has_no_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands for it: it would compute in double precision, which nothing here may ask of it."""
    asked: list[torch.device] = []

    def cpu_instead(device: torch.device) -> torch.device:
        asked.append(device)
        return device

    monkeypatch.setattr("genbench.sampling.latent_space.float64_device", cpu_instead)
    latents = torch.empty(4, 3, device="meta")
    for found in (truncate(latents, "normal", 0.5), interpolate_latents(latents[0], latents[1], 5, "normal")):
        assert (found.device.type, found.dtype) == ("meta", torch.float32)
    assert [device.type for device in asked] == ["meta"] * 3


@pytest.mark.parametrize(("kind", "maker"), [("mps", "Apple"), ("xpu", "Intel")])
def test_devices_of_other_makers_are_found_or_the_reason_is_said(
    kind: str, maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=rf"No device '{kind}': torch .* is built without {kind.upper()}"):
        devices.select_present_device(kind)
    monkeypatch.setattr(accelerator, "is_built", lambda kind: True)
    module = torch.get_device_module(kind)
    monkeypatch.setattr(module, "device_count", lambda: 0)
    with pytest.raises(UsageError, match=f"torch finds no usable {maker} GPU") as caught:
        devices.select_present_device(kind)
    assert "Use --device cpu." in str(caught.value)
    monkeypatch.setattr(module, "device_count", lambda: 1)
    monkeypatch.setattr(module, "is_available", lambda: True)
    monkeypatch.setattr(module, "get_device_name", lambda index: f"GPU {index}", raising=False)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    chosen: list[torch.device] = []
    monkeypatch.setattr(module, "set_device", chosen.append, raising=False)
    assert accelerator.devices(kind)[kind] == ["GPU 0"]
    assert devices.select_present_device(kind) == torch.device(kind, 0)
    assert chosen == [torch.device(kind, 0)]


def test_names_of_devices() -> None:
    for name in ("auto", "cpu", "cuda", "cuda:3", "mps", "mps:0", "xpu", "xpu:1"):
        assert devices.parse_device(name) == name
    with pytest.raises(UsageError, match=r"Unknown device 'xpi'. Did you mean 'xpu'\?"):
        devices.parse_device("xpi")
    with pytest.raises(UsageError, match="Unknown device 'mps:1'"):
        devices.parse_device("mps:1")
