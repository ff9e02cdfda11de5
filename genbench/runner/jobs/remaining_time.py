"""How long the cells of a run that are not finished will still take, from those that are.

Cells whose steps cost the same (`planning.identity.step_key`) are of one kind; their times are proportional to their
budgets. The first time of a kind is known when a cell of it trains, and is exact when one has finished.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Share(NamedTuple):
    """What decides the time of a cell: its kind, and the real images that it trains on."""

    kind: Hashable
    images: int


class Remaining(NamedTuple):
    """The time that is left, in seconds, and how sure that is."""

    low: float
    high: float
    unknown: int = 0  # kinds of cells of which none has run: `low` is without them, unless `high` is above it

    def text(self) -> str:
        """Return it in words, with what is not known."""
        low, high = _rough(self.low), _rough(self.high)
        if not self.unknown:
            return f"about {low} left"
        untimed = f"({self.unknown} kind{'s' * (self.unknown > 1)} not timed yet)"
        if low == high:
            return f"at least {low} left {untimed}"
        (number, unit), (_, same) = low.split(), high.split()
        return f"roughly {number if unit == same else low} to {high} left {untimed}"


def _rough(seconds: float) -> str:
    """Return a time as precisely as an estimate deserves."""
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def remaining(
    waiting: Mapping[Share, int],
    running: Iterable[tuple[Share, float, float]],
    known: Mapping[Hashable, float],
    places: int = 1,
) -> Remaining:
    """Return how long everything takes that is not finished.

    Args:
        waiting: how many cells of each sort have not started.
        running: of each cell that runs, its sort, the seconds since its start, and those that its training still takes
            by its own estimate (infinite while there is none).
        known: seconds per image of each kind of which a cell has finished.
        places: how many cells run at the same time.
    """
    rates = dict(known)
    left, unknown = [], set()
    for share, elapsed, training in running:
        if training < float("inf") and share.kind not in rates:
            rates[share.kind] = (elapsed + training) / max(1, share.images)
        if share.kind in rates:
            whole = rates[share.kind] * share.images
            left.append(max(0.0 if training == float("inf") else training, whole - elapsed))
        else:
            unknown.add(share.kind)
    low = high = sum(left)
    longest = max(left, default=0.0)
    spread = (min(rates.values()), max(rates.values())) if len(rates) > 1 else (0.0, 0.0)
    for share, count in waiting.items():
        if share.kind not in rates:
            unknown.add(share.kind)
        least, most = (rates[share.kind],) * 2 if share.kind in rates else spread
        low += count * least * share.images
        high += count * most * share.images
        longest = max(longest, least * share.images)
    places = max(1, places)
    return Remaining(max(low / places, longest), max(high / places, longest), len(unknown))


@dataclass
class _Running:
    share: Share
    started: float
    training: float = float("inf")  # seconds that its training still takes


class RemainingTime:
    """Follows the cells of a run; asking costs time in proportion to the kinds of cells, not to their number.

    Args:
        shares: of every cell that will run, by id.
        clock: seconds.
        tried: seconds per image of kinds of cells that were tried before the run.
    """

    def __init__(
        self, shares: Mapping[str, Share], clock: Callable[[], float], tried: Mapping[Hashable, float] | None = None
    ) -> None:
        self._shares, self._clock = dict(shares), clock
        self._training = dict(tried or {})  # seconds per image of each kind, without evaluation
        self._waiting = Counter(shares.values())
        self._running: dict[str, _Running] = {}
        self._seconds: defaultdict[Hashable, float] = defaultdict(float)  # of finished cells
        self._images: Counter[Hashable] = Counter()
        self._ended: set[str] = set()

    @property
    def finished(self) -> int:
        """How many cells have ended, in whatever way."""
        return len(self._ended)

    @property
    def total(self) -> int:
        """How many cells there are."""
        return len(self._shares)

    def start(self, cell: str) -> None:
        """Note that a cell has started; one that is tried again has started twice."""
        share = self._shares.get(cell)
        if share is not None and cell not in self._ended:
            if cell not in self._running:
                self._waiting[share] -= 1
            self._running[cell] = _Running(share, self._clock())

    def train(self, cell: str, seconds_left: float, images: int = 0) -> None:
        """Note how long the training of a cell still takes, which has trained on this many images."""
        if cell in self._running:
            running = self._running[cell]
            running.training = max(0.0, seconds_left)
            if images < running.share.images and running.training < float("inf"):
                self._training[running.share.kind] = running.training / (running.share.images - images)

    def end(self, cell: str, measured: bool) -> None:
        """Note that a cell has ended; `measured`: it was trained to its end, so that its time says what others take."""
        share = self._shares.get(cell)
        if share is None or cell in self._ended:
            return
        self._ended.add(cell)
        ran = self._running.pop(cell, None)
        if ran is None:
            self._waiting[share] -= 1
        elif measured:
            self._seconds[share.kind] += self._clock() - ran.started
            self._images[share.kind] += share.images

    def whole(self, cell: str) -> float | None:
        """Return the seconds that a cell takes from its beginning, None if nothing of its kind is known.

        It is what finished cells of its kind took, or the training time that a running one or a trial lets expect.
        """
        share = self._shares.get(cell)
        if share is None:
            return None
        if images := self._images[share.kind]:
            return self._seconds[share.kind] / images * share.images
        rate = self._training.get(share.kind)
        return None if rate is None else rate * share.images

    def left(self, places: int = 1) -> Remaining:
        """Return how long everything takes that is not finished, see `remaining`."""
        now = self._clock()
        running = [(one.share, now - one.started, one.training) for one in self._running.values()]
        waiting = {share: count for share, count in self._waiting.items() if count > 0}
        known = {kind: self._seconds[kind] / max(1, images) for kind, images in self._images.items()}
        return remaining(waiting, running, known, min(places, len(self._running) + sum(waiting.values())))
