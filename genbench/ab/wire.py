"""The protocol between the session and a live worker: questions and answers, as JSON lines over a socket.

The worker has the arm's version of genbench, the session this one. `WIRE_VERSION` changes when they would not
understand each other; adding a field with a default does not require a new version.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from genbench.api.options import OptionValue
from genbench.results.comparison import Quantity

WIRE_VERSION = 1
KnownFormat: TypeAlias = Literal["", "contiguous", "channels_last"]  # a memory format; '': not known
FIXED_FORMAT: KnownFormat = "channels_last"  # of versions that do not choose the memory format


class Prepare(msgspec.Struct, frozen=True, tag="prepare", kw_only=True):
    """Plan the cells; answered by `Prepared`."""

    wire: int = WIRE_VERSION
    given: dict[str, Any]  # as `make_request` expects it
    settings: list[str] = []  # NAME.OPTION=VALUE
    device: str = "cpu"
    threads: int = 1


class Open(msgspec.Struct, frozen=True, tag="open", kw_only=True):
    """Build a cell and warm up, for at most this many steps; answered by `Opened`."""

    cell: str
    warmup: int
    memory_format: KnownFormat = ""  # to use; '': the one that the steps are fastest in
    step_options: dict[str, str] | None = None  # other options to use; None: those that the steps are fastest with


class Time(msgspec.Struct, frozen=True, tag="time"):
    """Time this many steps of the open cell; answered by `Timed`."""

    steps: int
    slowdown: float = 0.0  # share of each step's time by which it is slowed: for calibration
    slowed_by: Quantity = "wall"  # the time that is meant: 'wall' or 'processor'


class Control(msgspec.Struct, frozen=True, tag="control"):
    """Time this many rounds of work that no version of genbench affects; answered by `Timed`."""

    rounds: int


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell planned by the worker's version; cells of both arms are paired by name."""

    name: str
    settings: dict[str, OptionValue]  # that determine the step: recipe, options, shapes
    reason: str = ""  # why it is impossible


class Prepared(msgspec.Struct, frozen=True, tag="prepared", kw_only=True):
    """The worker's versions, and the cells that it can measure."""

    genbench: str
    torch: str
    packages: dict[str, str] = {}  # versions of the distributions of the plugins involved
    cells: list[Cell] = []
    unknown: dict[str, str] = {}  # by model that this version does not have: the reason
    unmeasured: dict[Quantity, str] | None = None  # quantities that it cannot measure: the reason; None: all but time


class Opened(msgspec.Struct, frozen=True, tag="opened", kw_only=True):
    """The cell is ready, with the time of a step at the end of the warm-up."""

    seconds_per_step: float
    processor_seconds_per_step: float = 0.0  # 0.0: not measured
    images_per_step: int
    engine: str = "eager"  # that executes the steps; versions that do not say so know no other
    memory_format: KnownFormat = ""  # versions that do not say so use `FIXED_FORMAT`
    step_options: dict[str, str] = {}  # in use, other than the defaults, which versions that do not say so use


class Timed(msgspec.Struct, frozen=True, tag="timed"):
    """What the window took; None is not measured, or not known to a version from before these fields."""

    seconds: float
    processor_seconds: float | None = None
    instructions: int | None = None


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why the question cannot be answered."""

    reason: str


Question: TypeAlias = Prepare | Open | Time | Control
Answer: TypeAlias = Prepared | Opened | Timed | Failed
