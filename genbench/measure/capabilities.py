"""What each type of device can do: the only module that knows the types. Everything else asks, ``can(device).graphs``.

A type that is not listed, such as the backend of a third party, trains and is timed, and is asked for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Capabilities:
    """What a type of device can do in torch."""

    fused_optimizers: bool = False  # torch's optimisers have kernels that update all parameters at once
    graphs: bool = False  # a whole step can be captured, and replayed without the host
    streams: bool = False  # copies from pinned memory, in a stream of their own, while a step runs
    memory_peaks: bool = False  # the allocator counts its peaks
    memory_share: bool = False  # the memory that a process takes can be limited
    nvml: bool = False  # energy, clocks and throttling are read through NVML
    profiled: bool = False  # torch counts launches, and warns of synchronisations
    spawned: bool = False  # processes that train one cell must not be forked from one that has seen the device
    compiler: Literal["c++", "triton", ""] = ""  # what torch.compile generates code with; '': it needs nothing known
    collectives: Literal["gloo", "nccl", "xccl"] = "gloo"  # how processes exchange gradients


_KNOWN = {
    "cpu": Capabilities(fused_optimizers=True, compiler="c++"),
    "cuda": Capabilities(
        fused_optimizers=True,
        graphs=True,
        streams=True,
        memory_peaks=True,
        memory_share=True,
        nvml=True,
        profiled=True,
        spawned=True,
        compiler="triton",
        collectives="nccl",
    ),
    "xpu": Capabilities(
        fused_optimizers=True, streams=True, memory_peaks=True, spawned=True, compiler="triton", collectives="xccl"
    ),
    "mps": Capabilities(fused_optimizers=True, spawned=True),
}


def can(device: torch.device | str) -> Capabilities:
    """Return what devices of this type can do; the name of a device is enough, such as 'cuda:1'."""
    return _KNOWN.get(device_type(device), Capabilities(spawned=True))


def device_type(device: torch.device | str) -> str:
    """Return the type of a device or of the name of one, such as 'cuda' for 'cuda:1'."""
    return device.type if isinstance(device, torch.device) else device.partition(":")[0]


def is_accelerator(device: torch.device) -> bool:
    """Whether this is another device than the processor, so that its work is queued and its clocks rise from idle."""
    return device.type != "cpu"


def has_float64(device: torch.device) -> bool:
    """Whether the device computes in double precision; GPUs of Apple do not, nor do some of Intel."""
    if device.type == "mps":
        return False
    if device.type == "xpu":
        return bool(torch.xpu.get_device_properties(device).has_fp64)
    return True


def float64_device(device: torch.device) -> torch.device:
    """Return where to compute in double precision what was asked for on this device: there, or on the CPU."""
    return device if has_float64(device) else torch.device("cpu")


def has_tf32(device: torch.device) -> bool:
    """Whether a device has TF32: NVIDIA GPUs from compute capability 8.0 on (Ampere)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
