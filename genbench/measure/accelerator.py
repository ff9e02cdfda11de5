"""Accelerators as torch sees them; queried in a worker, because the query initialises the GPU."""

from __future__ import annotations

from typing import Any

import torch


def devices() -> dict[str, Any]:
    """Return torch's version and the CUDA devices it can use, with the reason if there are none."""
    found: dict[str, Any] = {"torch": str(torch.__version__), "cuda": [], "cuda_reason": ""}
    if torch.version.cuda is None:
        found["cuda_reason"] = f"torch {torch.__version__} is built without CUDA"
        return found
    try:
        count = torch.cuda.device_count()
        if not count or not torch.cuda.is_available():
            found["cuda_reason"] = "torch finds no usable NVIDIA GPU or driver"
        for index in range(count):
            torch.zeros(1, device=f"cuda:{index}")  # a device that cannot hold one number cannot train
            found["cuda"].append(torch.cuda.get_device_name(index))
    except (RuntimeError, AssertionError) as error:
        found["cuda"] = []
        found["cuda_reason"] = str(error).splitlines()[0]
    return found


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
