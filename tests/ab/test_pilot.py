"""The quantity that decides is chosen from base against itself, before head is measured."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import msgspec
import pytest

from genbench.ab.pilot import plan_quantity
from genbench.ab.session import Block, Measured, Protocol, Session, Sides
from genbench.ab.wire import Prepare
from genbench.errors import UsageError
from genbench.results.comparison import Quantity, QuantityChoice

ORDER = "ABBABAAB" * 2


class FakeSession:
    """Blocks whose wall times vary by a share that depends on the threads, and whose processor times hardly vary."""

    def __init__(self, by_threads: dict[int, float], threads: int = 2) -> None:
        self.by_threads = by_threads
        self.prepare = Prepare(given={}, threads=threads)
        self.piloted: list[int] = []  # threads of each block of base against itself
        self.busy = False
        self._head = True

    def expect_load(self, threads: int) -> None:
        self.prepare = msgspec.structs.replace(self.prepare, threads=threads)
        self.busy = True

    def against_itself(self) -> FakeSession:
        alone = FakeSession(self.by_threads, self.prepare.threads)
        alone._head, alone.piloted = False, self.piloted
        return alone

    def block(self, number: int, cells: Sequence[str]) -> Block:
        assert not self._head, "head was measured before the choice"
        self.piloted.append(self.prepare.threads)
        draws = random.Random(1)
        wall, processor = (
            tuple(math.exp(draws.gauss(0, spread)) for _ in ORDER)
            for spread in (self.by_threads[self.prepare.threads], 0.01)
        )
        return Block(number, tuple(Measured(cell, 1, ORDER, wall, processor) for cell in cells), None)


def plan(asked: str, session: FakeSession, fixed_threads: bool = False, **unmeasured: str) -> QuantityChoice:
    sides = Sides(("gan",), (), (), {}, {}, {}, unmeasured)  # type: ignore[arg-type]
    return plan_quantity(asked, session, sides, fixed_threads)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wall", "quantity", "piloted"),
    [
        ({2: 0.02}, "wall", [2]),  # a quiet machine
        ({2: 0.9, 1: 0.5}, "processor", [2, 1]),
        ({2: 0.9, 1: 0.01}, "wall", [2, 1]),  # only threads that wait for each other were the trouble
    ],
)
def test_blocks_of_base_against_itself_choose_the_quantity_and_the_threads(
    wall: dict[int, float], quantity: Quantity, piloted: list[int]
) -> None:
    session = FakeSession(wall)
    found = plan("auto", session, instructions="no counter")
    assert (found.asked, found.quantity) == ("auto", quantity)
    assert session.piloted == piloted == [pilot.threads for pilot in found.pilots]
    assert found.threads == session.prepare.threads == piloted[-1]
    assert ("one thread" in found.reason) == (len(piloted) > 1)
    assert found.unmeasured == {"instructions": "no counter"}
    assert found.pilots[-1].spreads["wall"] == pytest.approx(wall[piloted[-1]] * math.sqrt(2), rel=0.7)


def test_threads_that_the_user_has_chosen_stay() -> None:
    session = FakeSession({2: 0.5})
    found = plan("auto", session, fixed_threads=True)
    assert (found.quantity, found.threads, session.piloted) == ("processor", 2, [2, 2])
    assert plan("processor", session, fixed_threads=True).threads == 2


@pytest.mark.parametrize(("asked", "threads"), [("wall", 2), ("processor", 1), ("instructions", 1)])
def test_a_quantity_that_is_asked_for_needs_no_pilot(asked: str, threads: int) -> None:
    session = FakeSession({})
    found = plan(asked, session)
    assert (found.quantity, found.threads, session.piloted) == (asked, threads, [])


def test_two_versions_that_share_only_wall_time_are_compared_by_it() -> None:
    session = FakeSession({})
    found = plan("auto", session, processor="the genbench of base is too old", instructions="likewise")
    assert (found.quantity, found.threads, session.piloted) == ("wall", 2, [])
    assert "only quantity" in found.reason


def test_a_quantity_that_cannot_be_measured_is_rejected_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"by instructions here: no counter"):
        plan("instructions", FakeSession({}), instructions="no counter")


@pytest.mark.parametrize(("asked", "busy"), [("wall", False), ("processor", True), ("instructions", True)])
def test_more_windows_are_measured_where_wall_time_does_not_decide(asked: str, busy: bool) -> None:
    session = FakeSession({})
    plan(asked, session)
    assert session.busy is busy


def test_other_threads_forget_what_was_chosen_for_the_steps() -> None:
    session = Session(None, None, Prepare(given={}, threads=2))  # type: ignore[arg-type]
    session.memory_formats["gan"], session.step_options["gan"] = "channels_last", {"small_maps": "product"}
    alone = session.against_itself()
    assert alone.memory_formats is session.memory_formats
    session.expect_load(1)
    assert session.prepare.threads == 1
    assert session.protocol.rounds == 4 * Protocol().rounds
    assert session.protocol.rounds * session.protocol.control_rounds == Protocol().rounds * Protocol().control_rounds
    assert session.memory_formats == session.step_options == {}
