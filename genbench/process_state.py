"""What a plugin must leave as it found it: the process's random numbers and settings, watched, restored and named.

Only what is loaded already is looked at: watching imports nothing. Of a torch that a plugin brought along, what a fresh
one has is expected.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_UNKNOWN = object()  # the module is not loaded, or a fresh one's value cannot be told


@dataclass(frozen=True)
class _Setting:
    """Something global: how to read it, to set it, and what a fresh module has."""

    words: str
    module: str
    read: Callable[[Any], Any]  # given the module
    write: Callable[[Any, Any], object]  # given the module and a value
    fresh: Callable[[Any], Any] = lambda module: _UNKNOWN
    shown: bool = True  # in words: from one value to another
    random: bool = False

    def value(self) -> Any:
        module = sys.modules.get(self.module)
        try:
            return _UNKNOWN if module is None else self.read(module)
        except (AttributeError, OSError):  # half imported; a working directory that is gone
            return _UNKNOWN


def _numpy_state(numpy: Any) -> tuple[Any, ...]:
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    return name, tuple(keys.tolist()), position, has_gauss, gauss


def _torch_state(torch: Any) -> bytes:
    return bytes(torch.get_rng_state().tolist())


SETTINGS: tuple[_Setting, ...] = (
    _Setting(
        "Python's global random numbers",
        "random",
        lambda m: random.getstate(),
        lambda m, v: random.setstate(v),
        shown=False,
        random=True,
    ),
    _Setting(
        "numpy's global random numbers",
        "numpy",
        _numpy_state,
        lambda m, v: m.random.set_state(v),
        shown=False,
        random=True,
    ),
    _Setting(
        "torch's global random numbers",
        "torch",
        _torch_state,
        lambda m, v: m.set_rng_state(m.tensor(list(v), dtype=m.uint8)),
        lambda m: bytes(m.Generator().get_state().tolist()),
        shown=False,
        random=True,
    ),
    _Setting(
        "torch's default dtype",
        "torch",
        lambda m: m.get_default_dtype(),
        lambda m, v: m.set_default_dtype(v),
        lambda m: m.float32,
    ),
    _Setting("torch's number of threads", "torch", lambda m: m.get_num_threads(), lambda m, v: m.set_num_threads(v)),
    _Setting(
        "torch's deterministic algorithms",
        "torch",
        lambda m: m.are_deterministic_algorithms_enabled(),
        lambda m, v: m.use_deterministic_algorithms(v),
        lambda m: False,
    ),
    _Setting(
        "torch's gradient mode",
        "torch",
        lambda m: m.is_grad_enabled(),
        lambda m, v: m.set_grad_enabled(v),
        lambda m: True,
    ),
    _Setting(
        "torch's precision of matrix products",
        "torch",
        lambda m: m.get_float32_matmul_precision(),
        lambda m, v: m.set_float32_matmul_precision(v),
        lambda m: "highest",
    ),
    _Setting("the working directory", "os", lambda m: os.getcwd(), lambda m, v: os.chdir(v)),  # noqa: PTH109
)


@contextlib.contextmanager
def left_alone(randomness: bool = True) -> Iterator[list[str]]:
    """Put back what changes inside; the list that is yielded then says in words what that was.

    Without `randomness` global random numbers may be used up inside, as initialisers of networks do.
    """
    changes: list[str] = []
    watched = [setting for setting in SETTINGS if randomness or not setting.random]
    before = [setting.value() for setting in watched]
    try:
        yield changes
    finally:
        for setting, old in zip(watched, before, strict=True):
            new = setting.value()
            if old is _UNKNOWN and new is not _UNKNOWN:
                old = setting.fresh(sys.modules[setting.module])
            if old is _UNKNOWN or new == old:
                continue
            if new is not _UNKNOWN:
                setting.write(sys.modules[setting.module], old)
            changes.append(f"{setting.words} (from {old} to {new})" if setting.shown else setting.words)
