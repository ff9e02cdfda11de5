"""What a comparison can detect on this machine: a version against itself, and against itself deliberately slowed."""

from __future__ import annotations

import hashlib
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from genbench.ab.session import Block, Measured, Session
from genbench.gate.quantity import log_ratio
from genbench.gate.replay import recentred, replay
from genbench.gate.sequential import POWER, LookSchedule
from genbench.gate.verdict import Verdict
from genbench.results.cache import cache_directory
from genbench.results.calibration import Calibration, Rates
from genbench.results.comparison import Quantity
from genbench.results.files import atomic_write
from genbench.stats.paired import effect

DECISIONS = 2_000  # replayed


@dataclass
class Recorded:
    """Blocks of one cell that were recorded alike: the same code, and against a step that is slowed on purpose."""

    same: list[Measured] = field(default_factory=list)
    slowed: list[Measured] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of every block

    def log_ratios(self, quantity: Quantity) -> tuple[list[float], list[float]]:
        """Return those of the same code and of the slowed step by this quantity; empty if it was not measured."""
        same, slowed = ([log_ratio(one, quantity) for one in blocks] for blocks in (self.same, self.slowed))
        return (same, slowed) if all(map(math.isfinite, [*same, *slowed])) else ([], [])


def measure(
    sessions: Mapping[Quantity, tuple[Session, Session]],
    cell: str,
    blocks: int,
    on_block: Callable[[int, Block], None] = lambda *_: None,
) -> dict[Quantity, Recorded]:
    """Return blocks by the kind of time, 'wall' or 'processor', from sessions of the same code and of a slowed step.

    The kinds alternate, so that the machine affects all alike. A failure raises `GenbenchError`.
    """
    recorded = {kind: Recorded() for kind in sessions}
    for number in range(1, blocks + 1):
        for kind, (same, slowed) in sessions.items():
            for session, found in ((same, recorded[kind].same), (slowed, recorded[kind].slowed)):
                begin = time.perf_counter()
                block = session.block(number, [cell])
                recorded[kind].seconds.append(time.perf_counter() - begin)
                found.extend(block.measured)
                on_block(number, block)
    return recorded


def calibrate(
    cell: str,
    same: Sequence[float],
    slowed: Sequence[float],
    seconds: Sequence[float],
    slowdown: float,
    limit: float,
    looks: LookSchedule,
    machine: dict[str, Any],
    created: str,
    quantity: Quantity = "wall",
    decisions: int = DECISIONS,
) -> Calibration:
    """Return the calibration that follows from the recorded blocks. Raises ValueError for fewer than two of a kind."""
    found = effect(same)
    last = looks.blocks[-1]
    scaled = effect(_numbers_with_spread(found.spread, last))
    rng = random.Random(0)
    rates = []
    exact = recentred(slowed, slowdown)
    for injected, ratios, against in (
        (0.0, same, limit),
        (slowdown, exact, 0.0),
        (slowdown, exact, limit),
    ):
        replayed = replay(ratios, against, looks, decisions, rng)
        passed = replayed.share(Verdict.OK) + replayed.share(Verdict.IMPROVED)
        rates.append(
            Rates(
                slowdown=injected,
                limit=against,
                regressed=replayed.share(Verdict.REGRESSED),
                passed=passed,
                inconclusive=replayed.share(Verdict.INCONCLUSIVE),
                median_blocks=replayed.median_blocks,
            )
        )
    return Calibration(
        created=created,
        cell=cell,
        quantity=quantity,
        machine=machine,
        spread=found.spread,
        detectable=math.expm1(scaled.detectable(looks.errors[-1], POWER)),
        block_seconds=statistics.median(seconds),
        decisions=decisions,
        rates=rates,
        same=list(same),
        slowed=list(slowed),
    )


def store(calibration: Calibration) -> Path:
    """Store a calibration in the user's cache under its machine and cell, and return the file."""
    path = _path(calibration.machine, calibration.cell, calibration.quantity)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    return path


def known(machine: dict[str, Any], cell: str, quantity: Quantity = "wall") -> Calibration | None:
    """Return the stored calibration for this machine, cell and quantity; None if it is missing or damaged."""
    try:
        return msgspec.json.decode(_path(machine, cell, quantity).read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError):
        return None


def _path(machine: dict[str, Any], cell: str, quantity: Quantity) -> Path:
    facts = {key: machine.get(key) for key in ("processor", "cores", "threads", "device")}
    by = [] if quantity == "wall" else [quantity]  # calibrations by wall time are older than the choice
    name = hashlib.sha256(json.dumps([facts, cell, *by], sort_keys=True).encode()).hexdigest()[:16]
    return cache_directory() / "calibrations" / f"{name}.json"


def _numbers_with_spread(spread: float, n: int) -> list[float]:
    """Return n numbers with mean 0 and this standard deviation."""
    values = [i - (n - 1) / 2 for i in range(n)]
    return [spread * value / statistics.stdev(values) for value in values]
