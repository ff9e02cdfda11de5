"""Image shapes that a model accepts, as a rule instead of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.api.images import Shape
from genbench.errors import SpecError

USUAL_SHAPES: tuple[Shape, ...] = ((1, 28, 28), (3, 32, 32))  # examples for models that accept them


@dataclass(frozen=True, kw_only=True)
class ShapeRule:
    """All images whose sides and channels fit; a plan skips other datasets and states the rule.

    `str(rule)` is the rule in words: "square images of 1 or 3 channels with sides that are multiples of 4, from 8".
    """

    multiple_of: int = 1  # height and width are multiples of this
    minimum: int = 1  # smallest height and width
    maximum: int | None = None  # greatest height and width; None: any
    square: bool = False  # height and width are equal
    channels: tuple[int, ...] = ()  # numbers of channels; empty: any

    def __post_init__(self) -> None:
        for name in ("multiple_of", "minimum", "maximum"):
            value = getattr(self, name)
            if not (name == "maximum" and value is None) and (type(value) is not int or value < 1):
                raise SpecError(f"{name} of a ShapeRule must be a positive integer, not {value!r}.")
        given = self.channels
        if not isinstance(given, Sequence) or not all(type(channel) is int and channel > 0 for channel in given):
            raise SpecError(f"channels of a ShapeRule must be a tuple of positive integers, not {given!r}.")
        object.__setattr__(self, "channels", tuple(given))
        if type(self.square) is not bool:
            raise SpecError(f"square of a ShapeRule must be True or False, not {self.square!r}.")
        if self.maximum is not None and self._smallest > self.maximum:
            raise SpecError(
                f"No side is accepted by a ShapeRule: none from {self.minimum} to {self.maximum} is a multiple of "
                f"{self.multiple_of}."
            )

    def accepts(self, shape: Shape) -> bool:
        """Return whether images of this shape fit."""
        channels, height, width = shape
        return (
            all(map(self._accepts_side, (height, width)))
            and (height == width or not self.square)
            and (channels in self.channels or not self.channels)
        )

    def examples(self) -> tuple[Shape, ...]:
        """Return some accepted shapes: the smallest, one that is not square if there is one, and usual ones."""
        side, other = self._smallest, self._smallest + self.multiple_of
        channels = self.channels or (1, 3)
        candidates = [*((count, side, side) for count in channels), (channels[0], side, other), *USUAL_SHAPES]
        return tuple(dict.fromkeys(filter(self.accepts, candidates)))

    def __str__(self) -> str:
        channels = f" of {' or '.join(map(str, self.channels))} channels" if self.channels else ""
        sides = f"that are multiples of {self.multiple_of}, " if self.multiple_of > 1 else ""
        limits = f"from {self.minimum}" + ("" if self.maximum is None else f" to {self.maximum}")
        return f"{'square ' if self.square else ''}images{channels} with sides {sides}{limits}"

    @property
    def _smallest(self) -> int:
        """The smallest accepted side."""
        return -(-self.minimum // self.multiple_of) * self.multiple_of

    def _accepts_side(self, side: int) -> bool:
        small_enough = self.maximum is None or side <= self.maximum
        return side % self.multiple_of == 0 and side >= self.minimum and small_enough


ImageShapes = tuple[Shape, ...] | ShapeRule | None  # of a model; None: any


def accepts_shape(declared: ImageShapes, shape: Shape) -> bool:
    """Return whether a model that declares these shapes accepts images of this one."""
    return declared is None or (declared.accepts(shape) if isinstance(declared, ShapeRule) else shape in declared)


def example_shapes(declared: ImageShapes) -> tuple[Shape, ...]:
    """Return the shapes that a model declares; some of them if they are a rule, and usual ones if it accepts any."""
    return declared.examples() if isinstance(declared, ShapeRule) else declared or USUAL_SHAPES


def shapes_in_words(declared: ImageShapes) -> str:
    """Return the shapes that a model declares as text, such as ``1×28×28, 3×32×32`` or ``any``."""
    if declared is None or isinstance(declared, ShapeRule):
        return "any" if declared is None else str(declared)
    return ", ".join("×".join(map(str, shape)) for shape in declared)
