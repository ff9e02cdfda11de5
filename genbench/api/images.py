"""Images and labels, as datasets provide them and models generate them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Shape: TypeAlias = tuple[int, int, int]  # channels, height, width


class Images(NamedTuple):
    """One split of a dataset, or one set of generated images."""

    pixels: Tensor | np.ndarray[Any, Any]  # uint8, (N, channels, height, width)
    labels: Tensor | np.ndarray[Any, Any] | None = None  # integers, (N,)


@dataclass(frozen=True)
class ImageData:
    """What a dataset's `load` returns."""

    train: Images
    test: Images  # held out: never trained on
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what a reader of the results must know, such as skipped files
    factors: Mapping[str, Tensor] = field(default_factory=dict)  # of variation, for the held-out images: name -> (N,)


_SHOW: ContextVar[Callable[[str, int, int], object]] = ContextVar("show", default=lambda *_: None)


def show_loading(what: str, done: int, total: int) -> None:
    """Show in the progress of a run how far the loading of a dataset has come; call it from the dataset's `load`.

    Args:
        what: what is being done, such as ``downloading faces.zip, MB``.
        done: how much of it is done.
        total: out of how much.
    """
    _SHOW.get()(what, done, total)


@contextmanager
def loading_shown(show: Callable[[str, int, int], object]) -> Iterator[None]:
    """Pass what datasets show inside the context to `show`."""
    token = _SHOW.set(show)
    try:
        yield
    finally:
        _SHOW.reset(token)
