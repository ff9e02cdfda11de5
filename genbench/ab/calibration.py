"""What a comparison can detect on this machine: a version against itself, and against itself deliberately slowed."""

from __future__ import annotations

import hashlib
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from genbench.ab.session import Block, Session
from genbench.gate.replay import recentred, replay
from genbench.gate.sequential import POWER, LookSchedule
from genbench.gate.verdict import Verdict
from genbench.results.cache import cache_directory
from genbench.results.calibration import Calibration, Rates
from genbench.results.files import atomic_write
from genbench.stats.paired import effect

DECISIONS = 2_000  # replayed


def measure(
    same: Session, slowed: Session, cell: str, blocks: int, on_block: Callable[[int, Block], None] = lambda *_: None
) -> tuple[list[float], list[float], list[float]]:
    """Return log ratios of the same code, log ratios against the slowed step, and the seconds of every block.

    The two kinds alternate, so that the machine affects both alike. A failure raises `GenbenchError`.
    """
    ratios: tuple[list[float], list[float]] = ([], [])
    seconds = []
    for number in range(1, blocks + 1):
        for kind, session in enumerate((same, slowed)):
            begin = time.perf_counter()
            block = session.block(number, [cell])
            seconds.append(time.perf_counter() - begin)
            ratios[kind].extend(measured.log_ratio for measured in block.measured)
            on_block(number, block)
    return ratios[0], ratios[1], seconds


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
    path = _path(calibration.machine, calibration.cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    return path


def known(machine: dict[str, Any], cell: str) -> Calibration | None:
    """Return the stored calibration for this machine and cell; None if there is none, or its file is damaged."""
    try:
        return msgspec.json.decode(_path(machine, cell).read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError):
        return None


def _path(machine: dict[str, Any], cell: str) -> Path:
    facts = {key: machine.get(key) for key in ("processor", "cores", "threads", "device")}
    name = hashlib.sha256(json.dumps([facts, cell], sort_keys=True).encode()).hexdigest()[:16]
    return cache_directory() / "calibrations" / f"{name}.json"


def _numbers_with_spread(spread: float, n: int) -> list[float]:
    """Return n numbers with mean 0 and this standard deviation."""
    values = [i - (n - 1) / 2 for i in range(n)]
    return [spread * value / statistics.stdev(values) for value in values]
