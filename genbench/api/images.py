"""Images and labels, as datasets provide them and models generate them."""

from __future__ import annotations

from collections.abc import Mapping
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
