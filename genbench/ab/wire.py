"""What the session and a live worker say to each other: one question, one answer, JSON lines over a socket.

The worker is of the arm's version, the session of this one. `WIRE_VERSION` tells when they would not understand each
other; a field that is added with a default needs no new version.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from genbench.api.options import OptionValue

WIRE_VERSION = 1


class Prepare(msgspec.Struct, frozen=True, tag="prepare", kw_only=True):
    """Plan the cells; answered by `Prepared`."""

    wire: int = WIRE_VERSION
    given: dict[str, Any]  # as `make_request` takes it
    settings: list[str] = []  # NAME.OPTION=VALUE
    device: str = "cpu"
    threads: int = 1


class Open(msgspec.Struct, frozen=True, tag="open", kw_only=True):
    """Build a cell and train off the clock, so many steps at most; answered by `Opened`."""

    cell: str
    warmup: int


class Time(msgspec.Struct, frozen=True, tag="time"):
    """Time so many steps of the open cell; answered by `Timed`."""

    steps: int
    slowdown: float = 0.0  # share of each step's time that is spent idly on top: for calibration


class Control(msgspec.Struct, frozen=True, tag="control"):
    """Time so many rounds of work that no version of genbench touches; answered by `Timed`."""

    rounds: int


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that the worker's version plans; cells of both arms are paired by their names."""

    name: str
    settings: dict[str, OptionValue]  # what makes the step: recipe, options, shapes
    reason: str = ""  # why it is impossible


class Prepared(msgspec.Struct, frozen=True, tag="prepared", kw_only=True):
    """What the worker is, and what it can measure."""

    genbench: str
    torch: str
    packages: dict[str, str] = {}  # distributions of the plugins that took part, with their versions
    cells: list[Cell] = []
    unknown: dict[str, str] = {}  # models that this version does not have, with what it says of them


class Opened(msgspec.Struct, frozen=True, tag="opened", kw_only=True):
    """The cell trains; a step took so long at the end of the warm-up."""

    seconds_per_step: float
    images_per_step: int


class Timed(msgspec.Struct, frozen=True, tag="timed"):
    """How long it took."""

    seconds: float


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The question cannot be answered, and why."""

    reason: str


Question: TypeAlias = Prepare | Open | Time | Control
Answer: TypeAlias = Prepared | Opened | Timed | Failed
