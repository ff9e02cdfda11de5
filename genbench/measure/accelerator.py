"""Accelerators as torch sees them; queried in a worker, because the query initialises the GPU."""

from __future__ import annotations

import gc
import os
from typing import Any

import torch

from genbench.measure import machine
from genbench.measure.capabilities import can, device_type, is_accelerator

# What hides GPUs of NVIDIA, AMD and Intel from a process that has not used them yet.
_HIDING = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "", "ZE_AFFINITY_MASK": ""}
_MAKERS = {"cuda": "NVIDIA", "mps": "Apple", "xpu": "Intel"}


def hide_gpus() -> None:
    """Hide all GPUs from this process and those that it starts, before anything has looked for them.

    What trains on a CPU must not touch a GPU: memory would be taken on it, and processes that fork afterwards, such as
    those that train one cell together, could not train.
    """
    os.environ.update(_HIDING)


def devices(wanted: str = "all", count: int = 1) -> dict[str, Any]:
    """Return torch's version, and the names of the devices of the wanted type with the reason if there is none.

    Only devices that are wanted are tried, each by itself: trying takes memory on the device. The keys begin with the
    type: 'cuda' are the names by index, 'cuda_reason' says why there is none, and 'cuda_unusable', which is missing if
    all is well, maps the index of each that cannot be used to the reason.

    Args:
        wanted: 'cuda:1', 'mps', 'cpu' for none, or 'all' for those of CUDA.
        count: number of devices to try, from the wanted one on.
    """
    kind = "cuda" if wanted in ("all", "cpu") else device_type(wanted)
    found: dict[str, Any] = {"torch": str(torch.__version__), kind: [], f"{kind}_reason": ""}
    if wanted == "cpu":
        return found | {f"{kind}_reason": "not asked for"}
    if not is_built(kind):
        return found | {f"{kind}_reason": f"torch {torch.__version__} is built without {kind.upper()}"}
    module = torch.get_device_module(kind)
    try:
        present = module.device_count()
        if not present or not module.is_available():
            return found | {f"{kind}_reason": f"torch finds no usable {_MAKERS.get(kind, kind)} GPU or driver"}
    except (RuntimeError, AssertionError) as error:
        return found | {f"{kind}_reason": _first_line(error)}
    unusable: dict[str, str] = {}
    first = 0 if wanted == "all" else torch.device(wanted).index or 0
    tried = range(present) if wanted == "all" else range(first, min(first + count, present))
    for index in range(present):
        try:
            found[kind].append(_name(kind, index))
            if index in tried:
                torch.zeros(1, device=f"{kind}:{index}")  # a device that cannot hold one number cannot train
        except (RuntimeError, AssertionError) as error:
            found[kind] += ["unknown"] * (index + 1 - len(found[kind]))
            unusable[str(index)] = _first_line(error)
    return found | ({f"{kind}_unusable": unusable} if unusable else {})


def is_built(kind: str) -> bool:
    """Whether this torch has the code for a type of device."""
    match kind:
        case "cuda":
            return torch.version.cuda is not None or torch.version.hip is not None
        case "mps":
            return bool(torch.backends.mps.is_built())
        case "xpu":
            return bool(torch.xpu._is_compiled())
    return True


def _name(kind: str, index: int) -> str:
    """Return the model of a device; a GPU of Apple is part of the processor and has its name."""
    name = getattr(torch.get_device_module(kind), "get_device_name", None)
    return str(name(index)) if name is not None else machine.processor()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def select_device(name: str) -> torch.device:
    """Return the device of that name, with its index, and make it this process's current device."""
    device = torch.device(name)
    if is_accelerator(device):
        device = torch.device(device.type, device.index or 0)
        choose = getattr(torch.get_device_module(device), "set_device", None)
        if choose is not None:  # a type with a single device has nothing to choose
            choose(device)
    return device


def accelerator_name(device: torch.device) -> str:
    """Return the GPU's model, or an empty string for the CPU."""
    return _name(device.type, device.index or 0) if is_accelerator(device) else ""


def driver_version(device: torch.device) -> str:
    """Return the NVIDIA driver's version, or an empty string for the CPU or if it is unknown."""
    if not can(device).nvml:
        return ""
    try:
        with open("/proc/driver/nvidia/version", encoding="ascii") as file:  # noqa: PTH123
            words = file.readline().split()
    except OSError:
        return ""
    return next((word for word in words if word[:1].isdigit() and word.count(".") >= 1), "")


def modules_in_use() -> dict[str, Any]:
    """Return torch's modules of the types of devices that this process has used, by type; asking initialises none."""
    found: dict[str, Any] = {}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["cuda"] = torch.cuda
    if torch.xpu.is_initialized():  # type: ignore[no-untyped-call]
        found["xpu"] = torch.xpu
    if torch.backends.mps.is_built() and torch.backends.mps.is_available():
        found["mps"] = torch.mps
    return found


def free_memory() -> None:
    """Free what nothing refers to any more, on the host and in the caches of torch's allocators on devices."""
    gc.collect()
    for module in modules_in_use().values():
        module.empty_cache()
