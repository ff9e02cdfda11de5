"""Diagnosis of errors: the status of a cell and a reason that helps to fix it."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

from genbench.cell.memory_limits import is_out_of_memory
from genbench.errors import GenbenchError
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
    if isinstance(error, RuntimeError) and any(word in text for word in _GPU_WORDS):
        return "failed", _gpu_failure(text)
    return "failed", f"{type(error).__name__}: {text}{_place(error)}"


def _gpu_failure(text: str) -> str:
    """Return the reason for a GPU error. CUDA reports errors late, so the line that raised it says little."""
    first = text.splitlines()[0][:300]
    if _ASSERTION in text:
        return (
            f"an assertion failed on the GPU ({first}), often a label or an index out of range; --device cpu, or the "
            "environment variable CUDA_LAUNCH_BLOCKING=1, shows the line"
        )
    return (
        f"the GPU failed or was lost ({first}); the following cells try it again. If they fail too, check whether "
        "nvidia-smi still lists it, and the system log for Xid errors, then: genbench run --resume"
    )


def write_traceback() -> None:
    """Write the traceback of the error being handled to the log; a full disk must not become a second error."""
    with contextlib.suppress(OSError, ValueError):
        traceback.print_exc()


def _place(error: BaseException) -> str:
    """Return the innermost line that belongs neither to this package's own machinery nor to torch."""
    frames = list(traceback.extract_tb(error.__traceback__))
    machinery = (str(Path("genbench", "execute")), str(Path("site-packages", "torch")))
    outside = [frame for frame in frames if not any(part in frame.filename for part in machinery)]
    if not frames:
        return ""
    place = (outside or frames)[-1]
    return f" ({Path(place.filename).name}, line {place.lineno})"
