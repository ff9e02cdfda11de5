"""Cells that run at the same time, reported one after another: a reporter has one cell open at a time."""

from __future__ import annotations

from genbench.trackers.messages import TrackerEvent


class CellOrder:
    """Holds back the events of other cells until the cell that is being reported has finished."""

    def __init__(self) -> None:
        self._open = ""  # the cell that is being reported
        self._held: dict[str, list[TrackerEvent]] = {}  # of other cells, by their id

    def arrive(self, event: TrackerEvent) -> list[TrackerEvent]:
        """Return the events to send now that this one has happened."""
        if not event.cell:
            return [event]
        if self._open not in ("", event.cell):
            self._held.setdefault(event.cell, []).append(event)
            return []
        self._open = event.cell
        return [event, *self._next()] if event.event == "cell_finished" else [event]

    def rest(self) -> list[TrackerEvent]:
        """Return the events that are still held back, cell by cell: the run has ended."""
        held, self._held = self._held, {}
        return [event for events in held.values() for event in events]

    def _next(self) -> list[TrackerEvent]:
        """Return the events of the cells that follow, up to one that is still running."""
        self._open, found = "", list[TrackerEvent]()
        while self._held and not self._open:
            cell = next(iter(self._held))
            found += self._held.pop(cell)
            self._open = "" if found[-1].event == "cell_finished" else cell
        return found
