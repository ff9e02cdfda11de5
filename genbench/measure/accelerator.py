"""Accelerators as torch sees them; queried in a worker, because the query initialises the GPU."""

from __future__ import annotations

import os
from typing import Any

import torch

# What hides GPUs of NVIDIA, AMD and Intel from a process that has not used them yet.
_HIDING = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "ROCR_VISIBLE_DEVICES": "", "ZE_AFFINITY_MASK": ""}


def hide_gpus() -> None:
    """Hide all GPUs from this process and those that it starts, before anything has looked for them.

    What trains on a CPU must not touch a GPU: memory would be taken on it, and processes that fork afterwards, such as
    those that train one cell together, could not train.
    """
    os.environ.update(_HIDING)


def devices(wanted: str = "all", count: int = 1) -> dict[str, Any]:
    """Return torch's version and the CUDA devices by index, with the reason if there are none.

    Only devices that are wanted are tried, each by itself: trying takes memory on the device. `cuda_unusable`, which is
    missing if all is well, maps the index of each that cannot be used to the reason.

    Args:
        wanted: 'cuda:1', 'cpu' for none, or 'all'.
        count: number of devices to try, from the wanted one on.
    """
    found: dict[str, Any] = {"torch": str(torch.__version__), "cuda": [], "cuda_reason": ""}
    if wanted == "cpu":
        return found | {"cuda_reason": "not asked for"}
    if torch.version.cuda is None:
        return found | {"cuda_reason": f"torch {torch.__version__} is built without CUDA"}
    try:
        present = torch.cuda.device_count()
        if not present or not torch.cuda.is_available():
            return found | {"cuda_reason": "torch finds no usable NVIDIA GPU or driver"}
    except (RuntimeError, AssertionError) as error:
        return found | {"cuda_reason": _first_line(error)}
    unusable: dict[str, str] = {}
    first = 0 if wanted == "all" else torch.device(wanted).index or 0
    tried = range(present) if wanted == "all" else range(first, min(first + count, present))
    for index in range(present):
        try:
            found["cuda"].append(torch.cuda.get_device_name(index))
            if index in tried:
                torch.zeros(1, device=f"cuda:{index}")  # a device that cannot hold one number cannot train
        except (RuntimeError, AssertionError) as error:
            found["cuda"] += ["unknown"] * (index + 1 - len(found["cuda"]))
            unusable[str(index)] = _first_line(error)
    return found | ({"cuda_unusable": unusable} if unusable else {})


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def select_device(name: str) -> torch.device:
    """Return the device of that name, with its index, and make it this process's current device."""
    device = torch.device(name)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        torch.cuda.set_device(device)
    return device


def accelerator_name(device: torch.device) -> str:
    """Return the GPU's model, or an empty string for the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else ""


def driver_version(device: torch.device) -> str:
    """Return the NVIDIA driver's version, or an empty string for the CPU or if it is unknown."""
    if device.type != "cuda":
        return ""
    try:
        with open("/proc/driver/nvidia/version", encoding="ascii") as file:  # noqa: PTH123
            words = file.readline().split()
    except OSError:
        return ""
    return next((word for word in words if word[:1].isdigit() and word.count(".") >= 1), "")
