"""Protecting the process from plugins: global random numbers and settings are monitored, restored and reported.

Only modules that are already loaded are monitored; nothing is imported for it. If a plugin imports torch, its settings
are compared with those of a fresh torch as far as these are known: the number of threads and the seed, which differs
from process to process, are not. A worker loads torch before any plugin.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_UNKNOWN = object()  # the module is not loaded, or its initial value is not known
_STATE_WORDS = 624  # of a Mersenne Twister, the generator of Python and numpy


@dataclass(frozen=True)
class _Setting:
    """A global setting: how to read and write it, and its value in a fresh module."""

    name: str
    module: str
    read: Callable[[Any], Any]  # takes the module
    write: Callable[[Any, Any], object]  # takes the module and a value
    initial: Callable[[Any], Any] = lambda module: _UNKNOWN

    def value(self) -> Any:
        module = sys.modules.get(self.module)
        try:
            return _UNKNOWN if module is None else self.read(module)
        except (AttributeError, OSError):  # a partly imported module; a deleted working directory
            return _UNKNOWN

    def restore(self, old: Any) -> tuple[Any, Any] | None:
        """Restore the old value; return the expected and the actual value if they differ."""
        new = self.value()
        if old is _UNKNOWN and new is not _UNKNOWN:
            old = self.initial(sys.modules[self.module])
        if old is _UNKNOWN or new is _UNKNOWN or new == old:
            return None
        self.write(sys.modules[self.module], old)
        return old, new


@dataclass(frozen=True)
class _Generator(_Setting):
    """A global random number generator. Many imports draw a few numbers, which is harmless; setting a seed is not."""

    reseeded: Callable[[Any, Any], bool] = lambda old, new: True


def _is_other_sequence(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Return whether the new Mersenne Twister state (words, position) is not a few draws after the old one."""
    generator = random.Random()
    generator.setstate((3, old, None))
    for _ in range(_STATE_WORDS):
        generator.getrandbits(32)
    return new[:_STATE_WORDS] not in (old[:_STATE_WORDS], generator.getstate()[1][:_STATE_WORDS])


def _numpy_state(numpy: Any) -> tuple[Any, ...]:
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    return (*keys.tolist(), position), name, has_gauss, gauss


def _set_numpy_state(numpy: Any, state: Any) -> None:
    words, name, has_gauss, gauss = state
    keys = numpy.array(words[:_STATE_WORDS], numpy.uint32)
    numpy.random.set_state((name, keys, words[_STATE_WORDS], has_gauss, gauss))


def _set_torch_state(torch: Any, state: Any) -> None:
    torch.set_rng_state(torch.tensor(list(state[1]), dtype=torch.uint8))


GENERATORS: tuple[_Generator, ...] = (
    _Generator(
        "Python's global random numbers",
        "random",
        lambda m: m.getstate(),
        lambda m, state: m.setstate(state),
        reseeded=lambda old, new: _is_other_sequence(old[1], new[1]),
    ),
    _Generator(
        "numpy's global random numbers",
        "numpy",
        _numpy_state,
        _set_numpy_state,
        reseeded=lambda old, new: _is_other_sequence(old[0], new[0]),
    ),
    _Generator(
        "torch's global random numbers",
        "torch",
        lambda m: (m.initial_seed(), bytes(m.get_rng_state().tolist())),
        _set_torch_state,
        reseeded=lambda old, new: bool(old[0] != new[0]),
    ),
)

SETTINGS: tuple[_Setting, ...] = (
    _Setting(
        "torch's default dtype",
        "torch",
        lambda m: m.get_default_dtype(),
        lambda m, dtype: m.set_default_dtype(dtype),
        lambda m: m.float32,
    ),
    _Setting(
        "torch's number of threads",
        "torch",
        lambda m: m.get_num_threads(),
        lambda m, count: m.set_num_threads(count),
    ),
    _Setting(
        "torch's deterministic algorithms",
        "torch",
        lambda m: m.are_deterministic_algorithms_enabled(),
        lambda m, on: m.use_deterministic_algorithms(on),
        lambda m: False,
    ),
    _Setting(
        "torch's gradient mode",
        "torch",
        lambda m: m.is_grad_enabled(),
        lambda m, on: m.set_grad_enabled(on),
        lambda m: True,
    ),
    _Setting(
        "torch's precision of matrix products",
        "torch",
        lambda m: m.get_float32_matmul_precision(),
        lambda m, precision: m.set_float32_matmul_precision(precision),
        lambda m: "highest",
    ),
    _Setting("the working directory", "os", lambda m: m.getcwd(), lambda m, path: os.chdir(path)),
)


@contextlib.contextmanager
def preserved_process_state(randomness: bool = True) -> Iterator[list[str]]:
    """Restore on exit what changed inside; the yielded list then contains a description of each change.

    Global random numbers are restored too, unless `randomness` is false: network initialisers draw from them.
    """
    changes: list[str] = []
    settings_before = [(setting, setting.value()) for setting in SETTINGS]
    generators_before = [(generator, generator.value()) for generator in GENERATORS] if randomness else []
    try:
        yield changes
    finally:
        for generator, state in generators_before:
            change = generator.restore(state)
            if change and generator.reseeded(*change):
                changes.append(generator.name)
        for setting, old in settings_before:
            change = setting.restore(old)
            if change:
                changes.append(f"{setting.name} (from {change[0]} to {change[1]})")
