"""Training speed: images per second of each row with its interval, and of each window."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genbench.report.charts.frontier import finite, interval
from genbench.report.table.comparability import comparable_groups, differences
from genbench.report.table.layout import Table, Value
from genbench.results.schema import CellResult

SPEED = "images/s"


@dataclass(frozen=True)
class RowSpeed:
    """The speed of one row; without a value if it is too uncertain, or if the steps did not train the model."""

    row: int
    value: float | None
    interval: tuple[float, float] | None
    windows: tuple[WindowSpeeds, ...]  # of each cell


@dataclass(frozen=True)
class WindowSpeeds:
    """The speed in each window of one cell; all sequences have the same length."""

    images: tuple[int, ...]  # consumed by the end of the window
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    speeds: tuple[float, ...]
    warmup: tuple[bool, ...]

    def x(self, axis: str) -> tuple[float, ...]:
        """Return the positions in images, steps or seconds."""
        return {"images": self.images, "steps": self.steps, "seconds": self.seconds}[axis]


@dataclass(frozen=True)
class SpeedGroup:
    """Rows whose speeds may be compared."""

    condition: str  # in what it differs from the other groups, or empty
    rows: tuple[RowSpeed, ...]


def speed_groups(table: Table) -> list[SpeedGroup]:
    """Return the speeds of a table's rows in groups of the same machine and software."""
    cells = [cell for row in table.rows if row.kind == "cell" for cell in row.cells]
    groups = comparable_groups(cells, SPEED)
    found = []
    for group, condition in zip(groups, differences(groups, SPEED), strict=True):
        members = set(group)
        rows = []
        for number, row in enumerate(table.rows):
            own = [cell.result for cell in row.cells if cell in members and cell.result is not None]
            windows = tuple(filter(None, (_windows(result) for result in own)))
            value = row.values.get(SPEED, Value())
            between = interval(value)
            if own and (windows or between):
                rows.append(RowSpeed(number, finite(value), between, windows))
        if rows:
            found.append(SpeedGroup(condition, tuple(rows)))
    return found


def _windows(result: CellResult) -> WindowSpeeds | None:
    images = seconds = 0.0
    points = []
    for window in result.windows:
        images, seconds = images + window.images, seconds + max(window.seconds, 0.0)
        if window.seconds > 0 and math.isfinite(speed := window.images / window.seconds):
            points.append((int(images), window.step, seconds, speed, window.warmup))
    return WindowSpeeds(*zip(*points, strict=True)) if points else None
