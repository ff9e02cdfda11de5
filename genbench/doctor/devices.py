"""The devices, one by one: each can compute, has free memory, and is not used by others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genbench.doctor.finding import Figure, Finding, combined, failed, not_applicable, one_line, passed, warning
from genbench.errors import UsageError
from genbench.measure import machine

if TYPE_CHECKING:
    import torch

NO_GPU = not_applicable("no GPU is checked")
_LEAST_FREE = 2**30  # bytes: a context takes about half of it
_LOOK_AT_DRIVER = "Check nvidia-smi, CUDA_VISIBLE_DEVICES and the check `driver`; or use --device cpu."
_FREE_IT = "Free it: nvidia-smi lists the processes that use it. Or choose another GPU with --device cuda:N."


def chosen_device(device: str) -> torch.device:
    """Return the device to check; raise `UsageError` where there is no such GPU."""
    import torch

    from genbench.measure.accelerator import select_device

    kind, _, number = device.partition(":")
    module = torch.get_device_module(kind)
    if device != "cpu" and (not module.is_available() or int(number or 0) >= module.device_count()):
        raise UsageError(
            f"There is no usable {device}.", "See what the checks `driver` and `devices` find.", code="GB401"
        )
    return select_device(device)


def chosen_gpu(device: str) -> torch.device | None:
    """Return the GPU to check, or None where the CPU is checked."""
    return None if device == "cpu" else chosen_device(device)


def gpu_that_can(device: str, what: Literal["graphs", "memory_peaks", "nvml"]) -> torch.device | None:
    """Return the GPU to check if it can do this, a field of `Capabilities`; else None."""
    from genbench.measure.capabilities import can

    return chosen_device(device) if getattr(can(device), what) else None


def automatic(device: str) -> Finding:
    """Say whether `auto` is a GPU: one that torch finds, or that it should find because a driver is loaded."""
    if machine.has_nvidia_driver() or Path("/dev/kfd").exists():  # the latter is AMD's
        return passed()
    import torch

    return passed() if torch.cuda.is_available() else NO_GPU


def each_device(device: str) -> Finding:
    """Check the processor, and each GPU; a GPU that was not asked for can only cause a warning."""
    processor = passed(
        Figure("cpu", machine.processor()), Figure("cores", machine.usable_cores()), Figure("system", machine.host())
    )
    if device == "cpu":
        return processor
    import torch

    from genbench.measure.accelerator import is_built
    from genbench.measure.capabilities import can

    kind, _, number = device.partition(":")
    module = torch.get_device_module(kind)
    count = module.device_count() if is_built(kind) else 0
    if not count or not module.is_available():
        return failed(
            f"torch {torch.__version__} finds no usable GPU: {_refusal(kind)}.",
            _LOOK_AT_DRIVER if can(kind).nvml else "Install a torch that is built for it, or use --device cpu.",
            *processor.figures,
        )
    asked = int(number or 0)
    if asked >= count:
        return failed(
            f"There is no {device}: torch finds {count} GPU{'s' * (count > 1)}.",
            f"Use --device {kind}:0{f' to {kind}:{count - 1}' if count > 1 else ''}.",
            *processor.figures,
        )
    return combined([processor, *(_gpu(kind, index, index == asked) for index in range(count))])


def _refusal(kind: str) -> str:
    """Return why this type of device cannot be used."""
    import torch

    from genbench.measure.accelerator import is_built

    if not is_built(kind):
        return f"it is built without {kind.upper()}"
    try:
        torch.zeros(1, device=kind)
    except Exception as error:
        return one_line(error)
    return "it counts none"


def _gpu(kind: str, index: int, asked: bool) -> Finding:
    import torch

    from genbench.measure.accelerator import accelerator_name

    device, title = torch.device(kind, index), f"{kind}:{index}"
    memory = getattr(torch.get_device_module(kind), "mem_get_info", None)
    try:
        total = float(torch.ones(1024, device=device).sum())
        free, capacity = memory(device) if memory is not None else (None, None)
        name = accelerator_name(device)
    except Exception as error:
        report = failed if asked else warning
        return report(
            f"{title} cannot compute: {one_line(error)}.",
            f"Check it with nvidia-smi and the system log (Xid errors); leave it out with CUDA_VISIBLE_DEVICES. "
            f"Meanwhile use another device: --device {'cpu' if index == 0 else f'{kind}:0'}.",
        )
    figures = [Figure(title, name)]
    if free is not None and capacity is not None:
        figures += [
            Figure(f"{title} free", free / 2**30, "GiB"),
            Figure(f"{title} memory", capacity / 2**30, "GiB"),
        ]
    if total != 1024:
        return failed(f"{title} computes a sum of 1,024 ones as {total:g}.", "Have this GPU checked.", *figures)
    others = _other_processes(device)
    if others:
        return warning(f"Other processes use {title}: {others}.", _FREE_IT, *figures)
    if free is not None and free < _LEAST_FREE:
        return warning(f"{title} has only {free / 2**30:.2g} GiB of free memory.", _FREE_IT, *figures)
    return passed(*figures)


def _other_processes(device: torch.device) -> int:
    """Return how many other processes use a GPU, as far as NVML says."""
    from genbench.measure.capabilities import can
    from genbench.measure.nvml import NvmlUnavailable, gpu_state, open_nvml

    if not can(device).nvml:
        return 0
    try:
        nvml, handle = open_nvml(device)
    except NvmlUnavailable:
        return 0
    return gpu_state(nvml, handle).other_processes or 0
