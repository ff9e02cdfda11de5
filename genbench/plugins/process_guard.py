"""What a plugin must leave as it found it: the process's random numbers and settings, watched, restored and named.

Only what is loaded already is looked at: watching imports nothing. Of a torch that a plugin brought along, what a fresh
one has is expected, where that can be told: not its number of threads, nor its seed, which is another in each process.
A worker has torch loaded before any plugin.
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
_WORDS = 624  # of the state of a Mersenne twister, which Python and numpy use


@dataclass(frozen=True)
class _Setting:
    """Something global: how to read it, to set it, and what a fresh module has."""

    words: str
    module: str
    read: Callable[[Any], Any]  # given the module
    write: Callable[[Any, Any], object]  # given the module and a value
    fresh: Callable[[Any], Any] = lambda module: _UNKNOWN

    def value(self) -> Any:
        module = sys.modules.get(self.module)
        try:
            return _UNKNOWN if module is None else self.read(module)
        except (AttributeError, OSError):  # half imported; a working directory that is gone
            return _UNKNOWN

    def restore(self, old: Any) -> tuple[Any, Any] | None:
        """Put `old` back; return what was expected and what was found, where they differ."""
        new = self.value()
        if old is _UNKNOWN and new is not _UNKNOWN:
            old = self.fresh(sys.modules[self.module])
        if old is _UNKNOWN or new is _UNKNOWN or new == old:
            return None
        self.write(sys.modules[self.module], old)
        return old, new


@dataclass(frozen=True)
class _Randomness(_Setting):
    """Global random numbers: to draw a few is no offence, many an import does; to seed them anew is one."""

    seeded: Callable[[Any, Any], bool] = lambda old, new: True


def _is_another_sequence(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether the state of a Mersenne twister, words and position, is not the old one some numbers later."""
    twin = random.Random()
    twin.setstate((3, old, None))
    for _ in range(_WORDS):
        twin.getrandbits(32)
    return new[:_WORDS] not in (old[:_WORDS], twin.getstate()[1][:_WORDS])


def _numpy_state(numpy: Any) -> tuple[Any, ...]:
    name, keys, position, has_gauss, gauss = numpy.random.get_state()
    return (*keys.tolist(), position), name, has_gauss, gauss


def _set_numpy_state(numpy: Any, state: Any) -> None:
    words, name, has_gauss, gauss = state
    numpy.random.set_state((name, numpy.array(words[:_WORDS], numpy.uint32), words[_WORDS], has_gauss, gauss))


def _set_torch_state(torch: Any, state: Any) -> None:
    torch.set_rng_state(torch.tensor(list(state[1]), dtype=torch.uint8))


RANDOMNESS: tuple[_Randomness, ...] = (
    _Randomness(
        "Python's global random numbers",
        "random",
        lambda m: m.getstate(),
        lambda m, state: m.setstate(state),
        seeded=lambda old, new: _is_another_sequence(old[1], new[1]),
    ),
    _Randomness(
        "numpy's global random numbers",
        "numpy",
        _numpy_state,
        _set_numpy_state,
        seeded=lambda old, new: _is_another_sequence(old[0], new[0]),
    ),
    _Randomness(
        "torch's global random numbers",
        "torch",
        lambda m: (m.initial_seed(), bytes(m.get_rng_state().tolist())),
        _set_torch_state,
        seeded=lambda old, new: bool(old[0] != new[0]),
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
    """Put back what changes inside; the list that is yielded then says in words what that was.

    Global random numbers are put back too, unless `randomness` is false: initialisers of networks draw from them.
    """
    changes: list[str] = []
    before = [(setting, setting.value()) for setting in SETTINGS]
    sequences = [(source, source.value()) for source in RANDOMNESS] if randomness else []
    try:
        yield changes
    finally:
        for source, state in sequences:
            change = source.restore(state)
            if change and source.seeded(*change):
                changes.append(source.words)
        for setting, old in before:
            change = setting.restore(old)
            if change:
                changes.append(f"{setting.words} (from {change[0]} to {change[1]})")
