"""Diagnosis of errors: the status of a cell and a reason that helps to fix it."""

from __future__ import annotations

from genbench.cell.memory_limits import is_out_of_memory
from genbench.errors import GenbenchError
from genbench.measure.user_frame import error_location
from genbench.plugins.calls import origin_of
from genbench.results.failure_codes import CODES, GPU_FAILED
from genbench.results.schema import Status

_LONGEST = 2000  # characters of an error's text that are kept
_ASSERTION = "device-side assert"
# After these errors the process cannot use the GPU any more; they are raised by the next call that synchronises.
_GPU_WORDS = ("CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_INTERNAL_ERROR", "No CUDA GPUs", "NVML")


def diagnose(error: BaseException) -> tuple[Status, str]:
    """Return the status of a cell that raised this error, and the reason: what happened, where, and a remedy."""
    text = str(error).strip()[:_LONGEST]
    if is_out_of_memory(error):
        first = text.splitlines()[0] if text else "memory ran out"
        return "oom", f"{first[:300]}; use a smaller --batch-size, or raise --memory-limit"
    if isinstance(error, GenbenchError):
        return "failed", text
    if _is_of_gpu(error):
        return "failed", _gpu_failure(text)
    return "failed", f"{type(error).__name__}: {text}{error_location(error, or_machinery=True)}{origin_of(error)}"


def error_code(error: BaseException) -> str:
    """Return the code of a cell that raised this error, see `genbench explain`."""
    if is_out_of_memory(error):
        return CODES["oom"]
    if isinstance(error, GenbenchError):
        return error.code
    return GPU_FAILED if _is_of_gpu(error) else CODES["failed"]


def _is_of_gpu(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and any(word in str(error)[:_LONGEST] for word in _GPU_WORDS)


def _gpu_failure(text: str) -> str:
    """Return the reason for a GPU error. CUDA reports errors late, so the line that raised it says little."""
    first = text.splitlines()[0][:300]
    if _ASSERTION in text:
        return (
            f"an assertion failed on the GPU ({first}), often because a label or an index is out of range; use "
            "--device cpu, or the environment variable CUDA_LAUNCH_BLOCKING=1, to find the line"
        )
    return (
        f"the GPU failed or was lost ({first}); the following cells try it again. If they fail too, check whether "
        "nvidia-smi still lists it, and the system log for Xid errors, then: genbench run --resume"
    )
