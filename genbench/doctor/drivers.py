"""The NVIDIA driver and torch's CUDA: whether the driver supports it, and torch the GPUs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from genbench.doctor.devices import NO_GPU
from genbench.doctor.finding import Figure, Finding, combined, failed, not_applicable, passed

_BUILDS = "https://pytorch.org/get-started/locally"
_UPDATE = f"Update the NVIDIA driver, or install a torch built for an older CUDA: {_BUILDS}."


def driver(device: str) -> Finding:
    """Compare the newest CUDA version that the driver supports with the one that torch was built with.

    A driver runs programs built for its own or an older major version of CUDA, and for newer minor versions of the same
    major one (NVIDIA, "CUDA Compatibility", minor version compatibility).
    """
    from genbench.measure.capabilities import can

    if not can(device).nvml:
        return NO_GPU
    import torch

    built_for = torch.version.cuda
    if built_for is None:
        reason = f"torch {torch.__version__} is built without CUDA"
        if torch.version.hip is not None:
            return not_applicable(f"torch {torch.__version__} is built for AMD GPUs")
        return failed(f"{reason}.", f"Install a torch built with CUDA: {_BUILDS}. Or use --device cpu.")
    figures = [Figure("torch's CUDA", built_for)]
    try:
        name, supported = _driver_versions()
    except Exception as error:  # the library or the driver is missing, or refuses
        return failed(
            f"The NVIDIA driver does not answer: {error}.",
            "Check that nvidia-smi works; restart after an update of it. Containers need docker run --gpus all.",
            *figures,
        )
    figures += [Figure("driver", name), Figure("driver's CUDA", f"{supported[0]}.{supported[1]}")]
    if supported[0] < int(built_for.partition(".")[0]):
        return failed(
            f"The driver {name} is too old: it supports CUDA {supported[0]}.{supported[1]}, torch needs {built_for}.",
            _UPDATE,
            *figures,
        )
    return passed(*figures)


def architecture(device: str) -> Finding:
    """Compare each GPU's compute capability with the architectures that torch was built for."""
    from genbench.measure.capabilities import can

    if not can(device).nvml:
        return NO_GPU
    import torch

    if torch.version.cuda is None or not torch.cuda.is_available():
        return not_applicable("torch finds no NVIDIA GPU")
    built_for = torch.cuda.get_arch_list()
    return combined(_gpu(index, built_for) for index in range(torch.cuda.device_count()))


def _gpu(index: int, built_for: list[str]) -> Finding:
    import torch

    capability = torch.cuda.get_device_capability(index)
    title = f"cuda:{index}"
    figures = [
        Figure(title, f"{torch.cuda.get_device_name(index)}, compute capability {capability[0]}.{capability[1]}")
    ]
    if runs_on(capability, built_for):
        return passed(*figures)
    return failed(
        f"torch {torch.__version__} has no code for {title} of compute capability {capability[0]}.{capability[1]}; "
        f"it is built for {' '.join(built_for)}.",
        f"Install a torch built for this GPU ({_BUILDS}): a newer one for a newer GPU, an older one for an older.",
        *figures,
    )


def runs_on(capability: tuple[int, int], built_for: Iterable[str]) -> bool:
    """Return whether code for these architectures runs on a GPU of this compute capability.

    Machine code (sm_XY) runs on the same major and an equal or higher minor version; that for one GPU only (sm_90a) on
    exactly that version, and that for a family (sm_100f) as the former. Intermediate code (compute_XY) is compiled for
    any later version (NVIDIA, "CUDA C++ Programming Guide", binary and PTX compatibility).
    """
    for name in built_for:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", name)
        if match is None:
            continue
        kind, version, suffix = match[1], (int(match[2]), int(match[3])), match[4]
        if suffix == "a":
            fits = capability == version
        elif kind == "compute" and not suffix:
            fits = capability >= version
        else:
            fits = capability[0] == version[0] and capability[1] >= version[1]
        if fits:
            return True
    return False


def _driver_versions() -> tuple[str, tuple[int, int]]:
    """Return the driver's version and the newest version of CUDA that it supports, as NVML reports them."""
    import pynvml  # type: ignore[import-untyped]

    pynvml.nvmlInit()
    name, supported = pynvml.nvmlSystemGetDriverVersion(), int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    return (name.decode() if isinstance(name, bytes) else str(name)), (supported // 1000, supported % 1000 // 10)
