"""From an error to a status and a reason for the person who has to mend it."""

from __future__ import annotations

import traceback
from pathlib import Path

from genbench.cell.memory_limits import is_out_of_memory
from genbench.errors import GenbenchError
from genbench.results.schema import Status

_LONGEST = 2000  # characters of an error's text that are kept
_ASSERTION = "device-side assert"
# After these a process cannot use the GPU any more; the error shows at whatever waits for the GPU next.
_GPU_WORDS = ("CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_INTERNAL_ERROR", "No CUDA GPUs", "NVML")


def diagnose(error: BaseException) -> tuple[Status, str]:
    """Return the status of a cell that ended in this error, and the reason: what happened, where, and the cure."""
    text = str(error).strip()[:_LONGEST]
    if is_out_of_memory(error):
        first = text.splitlines()[0] if text else "memory ran out"
        return "oom", f"{first[:300]}; use a smaller --batch-size, or raise --memory-limit"
    if isinstance(error, GenbenchError):
        return "failed", text
    if isinstance(error, RuntimeError) and any(word in text for word in _GPU_WORDS):
        return "failed", _of_gpu(text)
    return "failed", f"{type(error).__name__}: {text}{_place(error)}"


def _of_gpu(text: str) -> str:
    """Return the reason of a cell whose GPU refused: where it shows says little, since it is told late."""
    first = text.splitlines()[0][:300]
    if _ASSERTION in text:
        return (
            f"the GPU met a false assertion ({first}), often a label or an index out of range; --device cpu, or the "
            "environment variable CUDA_LAUNCH_BLOCKING=1, names the line"
        )
    return (
        f"the GPU failed or was lost ({first}); the cells that follow try it again. Should they fail too, see whether "
        "nvidia-smi still lists it and what the system's log says (Xid), then: genbench run --resume"
    )


def _place(error: BaseException) -> str:
    """Return the innermost line that belongs neither to this package's own machinery nor to torch."""
    frames = list(traceback.extract_tb(error.__traceback__))
    machinery = (str(Path("genbench", "execute")), str(Path("site-packages", "torch")))
    outside = [frame for frame in frames if not any(part in frame.filename for part in machinery)]
    if not frames:
        return ""
    place = (outside or frames)[-1]
    return f" ({Path(place.filename).name}, line {place.lineno})"
