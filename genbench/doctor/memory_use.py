"""Memory: what the host has for a cell, and what a step takes on a GPU in each memory format."""

from __future__ import annotations

from genbench.doctor.finding import Figure, Finding, failed, passed, warning
from genbench.measure import machine

_LEAST, _COMFORTABLE = 2**30, 2**32  # bytes available: a process with torch takes about half a GiB
_BATCH, _SHAPE = 64, (3, 64, 64)


def host(device: str) -> Finding:
    """Fail where the host's free memory does not suffice for a process with torch and a dataset."""
    total, available = machine.memory_bytes(), machine.available_bytes()
    if total is None or available is None:
        return passed(reason="this system does not say how much memory is available")
    figures = (Figure("memory", total / 2**30, "GiB"), Figure("available", available / 2**30, "GiB"))
    reason = f"{available / 2**30:.2g} GiB of memory are available."
    remedy = "Close other programs, or raise the limit of the container (docker run --memory)."
    if available < _LEAST:
        return failed(reason, remedy, *figures)
    return warning(reason, remedy, *figures) if available < _COMFORTABLE else passed(*figures)


def formats(device: str) -> Finding:
    """Measure the GPU memory of a forward and backward pass of dcgan's discriminator in each memory format."""
    from genbench.doctor.devices import NO_GPU, gpu_that_can

    target = gpu_that_can(device, "memory_peaks")
    if target is None:
        return NO_GPU
    import torch

    from genbench.measure.clock import synchronise
    from genbench.plugins.worker_catalogue import load_catalogue
    from genbench.testing.subject import Subject

    figures, module = [], torch.get_device_module(target)
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        networks = Subject("models", "dcgan", load_catalogue([]), {"dcgan": {"width": 64}}).networks(_SHAPE)
        network = networks["discriminator"].to(target, memory_format=layout)  # type: ignore[call-overload]
        images = torch.zeros(_BATCH, *_SHAPE, device=target).contiguous(memory_format=layout)
        synchronise(target)
        module.reset_peak_memory_stats(target)
        network(images).sum().backward()
        synchronise(target)
        figures.append(Figure(f"peak in {name}", module.max_memory_allocated(target) / 2**20, "MiB"))
        del network, images
    if any(figure.value == 0 for figure in figures):
        return failed(
            "The allocator reports no memory for a training step.",
            "Unset PYTORCH_NO_CUDA_MEMORY_CACHING and other settings of the allocator: peaks of results are wrong.",
            *figures,
        )
    return passed(*figures)
