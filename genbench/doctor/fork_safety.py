"""Whether the fork server stays clean: its preload asks no accelerator for anything, and a fork of it can use one."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

from genbench.doctor.devices import chosen_device
from genbench.doctor.finding import Figure, Finding, failed, not_applicable, one_line, passed
from genbench.system.means import uses_linux

# Each of them asks the driver. After the first question, a forked process cannot use CUDA any more.
_QUESTIONS = {
    "torch.cuda": ("is_available", "device_count", "init", "_lazy_init", "current_device", "get_device_properties"),
    "torch.accelerator": ("is_available", "device_count", "current_accelerator", "current_device_index"),
    "torch._C": ("_cuda_getDeviceCount", "_cuda_init", "_accelerator_getAccelerator"),
}
_POISONED = "CUDA was initialised before the fork"


def forked_worker(device: str) -> Finding:
    """Preload as the fork server does, then fork and use the device; fail where a query was made or the fork cannot."""
    if not uses_linux():
        return not_applicable("only on Linux are workers forked")
    import torch  # before the functions are replaced: torch may use them while it is imported  # noqa: F401

    from genbench.runner.fork_server import preload

    asked: list[str] = []
    with _recorded(asked):
        preload()
    figures = [Figure("accelerator queries in the preload", len(asked))]
    trouble = in_fork(lambda: _use(device))
    figures.append(Figure("forked worker", "cannot use its device" if trouble else "ready"))
    if asked or trouble == _POISONED:
        by = f"calls {', '.join(dict.fromkeys(asked))}, which initialises the driver" if asked else "initialises CUDA"
        return failed(
            f"Importing what workers need {by}: no forked worker can use a GPU.",
            "A package that is imported with torch does this; look for it in PYTHONPATH, in sitecustomize and among "
            "torch's backends (entry points `torch.backends`), and remove it. TORCH_DEVICE_BACKEND_AUTOLOAD=0 switches "
            "off the last.",
            *figures,
        )
    if trouble:
        if device != "cpu":
            chosen_device(device)  # raises where no process can use it, forked or not
        return failed(
            f"A process forked after the preload cannot use its device: {trouble}.",
            "Compare it with the check `devices`, which does not fork. If that passes, update torch, or report this: "
            "`genbench run --in-process` works meanwhile, but its timings are not valid.",
            *figures,
        )
    return passed(*figures)


@contextmanager
def _recorded(asked: list[str]) -> Iterator[None]:
    """Record calls of the functions that ask the driver, under the names of their modules."""
    with ExitStack() as patches:
        for name, functions in _QUESTIONS.items():
            module = importlib.import_module(name)
            for function in functions:
                if hasattr(module, function):
                    recorder = _recorder(module, function, asked)
                    patches.enter_context(mock.patch.object(module, function, recorder))
        yield


def _recorder(module: ModuleType, function: str, asked: list[str]) -> Any:
    original = getattr(module, function)

    def record(*args: Any, **kwargs: Any) -> Any:
        asked.append(f"{module.__name__}.{function}")
        return original(*args, **kwargs)

    return record


def _use(device: str) -> str:
    """Use the device as a worker does; return what is wrong, or an empty string."""
    import torch

    if torch.cuda._is_in_bad_fork():
        return _POISONED
    target = chosen_device(device)
    total = float(torch.ones(8, device=target).sum())
    return "" if total == 8 else f"8 ones add up to {total:g}"


def in_fork(use: Callable[[], str]) -> str:
    """Return what `use` says in a forked process, or how that process ended; this process touches no device."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = use()
        except BaseException as error:
            said = one_line(error)
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        said = file.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return said or ("" if status == 0 else f"it ended with wait status {status}")
