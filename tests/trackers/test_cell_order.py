"""Reporters get the events of cells that ran at the same time as if they had run one after another."""

from __future__ import annotations

from genbench.trackers.cell_order import CellOrder
from genbench.trackers.messages import TrackerEvent


def order(*events: str) -> tuple[list[str], CellOrder]:
    """Return 'cell event' texts in the order in which they are sent."""
    cells, sent = CellOrder(), []
    for text in events:
        name, _, cell = text.partition(" ")
        sent += cells.arrive(TrackerEvent(name, cell))
    return [f"{event.event} {event.cell}".strip() for event in sent], cells


def test_one_cell_at_a_time_is_passed_on_at_once() -> None:
    events = ["run_started", "cell_started a", "window_finished a", "cell_finished a", "cell_started b"]
    assert order(*events)[0] == events


def test_a_second_cell_waits_for_the_end_of_the_first() -> None:
    sent, cells = order(
        "cell_started a", "cell_started b", "window_finished a", "window_finished b", "cell_finished a",
        "window_finished b", "cell_started c", "cell_finished b", "cell_finished c",
    )  # fmt: skip
    assert sent == [
        "cell_started a", "window_finished a", "cell_finished a",
        "cell_started b", "window_finished b", "window_finished b", "cell_finished b",
        "cell_started c", "cell_finished c",
    ]  # fmt: skip
    assert cells.rest() == []


def test_a_cell_that_finished_earlier_is_not_lost_and_an_interrupted_one_comes_last() -> None:
    sent, cells = order("cell_started a", "cell_started b", "cell_finished b", "cell_started c", "cell_finished a")
    assert sent[2:] == ["cell_started b", "cell_finished b", "cell_started c"]
    _, cells = order("cell_started a", "cell_started b")
    assert [event.cell for event in cells.rest()] == ["b"]
