"""Let torch report a GPU, and refuse it to a process that was forked after another had asked for it, as CUDA does.

Put this folder on PYTHONPATH. As with a real driver, a process sees no GPU if CUDA_VISIBLE_DEVICES is empty. Processes
that asked are listed in the file that PRETENDED_GPU names; one with the suffix .possible shows that any could have.
"""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

_asked_by: int | None = None


def _seen() -> bool:
    """Whether this process sees the GPU; from then on no child of it may ask."""
    global _asked_by
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return False
    if _asked_by is not None and _asked_by != os.getpid():
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")
    if _asked_by is None:
        _asked_by = os.getpid()
        with Path(os.environ["PRETENDED_GPU"]).open("a") as file:
            file.write(f"{os.getpid()} {' '.join(sys.argv[:3])}\n")
    return True


def _patch(torch: Any) -> None:
    Path(os.environ["PRETENDED_GPU"]).with_suffix(".possible").touch()
    gpu = torch.device("cuda", 0)
    torch.accelerator.is_available = _seen
    torch.accelerator.device_count = lambda: int(_seen())
    torch.accelerator.current_accelerator = lambda check_available=False: gpu if _seen() else None
    torch.cuda.is_available = _seen
    torch.cuda.device_count = lambda: int(_seen())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("torch")
        loader: Any = spec.loader
        load = loader.exec_module

        def load_and_patch(module: Any) -> None:
            load(module)
            _patch(module)

        loader.exec_module = load_and_patch
        return spec


sys.meta_path.insert(0, _Finder())
