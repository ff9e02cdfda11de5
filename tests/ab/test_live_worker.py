"""The worker of an arm, run in this process: it plans, builds and times cells, and answers every failure."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator

import msgspec
import pytest
import torch

from genbench.ab.live import LiveWorker, cell_names, slowed
from genbench.ab.session import Measured
from genbench.ab.wire import Answer, Control, Failed, Open, Opened, Prepare, Prepared, Question, Time, Timed
from genbench.gate.quantity import log_ratio
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover


@pytest.fixture(autouse=True)
def restored_settings() -> Iterator[None]:
    """Undo the worker's setup of torch and of the garbage collector, so that other tests are not affected."""
    threads = torch.get_num_threads()
    yield
    gc.freeze()
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


TINY = {"datasets": ["synthetic"], "batch_size": 2, "profile": "smoke", "metrics": "none"}


def names(**given: object) -> list[str]:
    return cell_names(make_plan(make_request({**TINY, **given}), discover(), "cpu").cells)


def test_cells_are_named_by_their_model_and_the_settings_that_distinguish_them() -> None:
    assert names(models="gan,vae") == ["gan", "vae"]
    assert names(models="gan", losses="non-saturating,hinge") == ["gan · non-saturating", "gan · hinge"]
    assert names(models="gan", seeds="0,1") == ["gan · seed 0", "gan · seed 1"]


def test_a_step_is_built_and_timed() -> None:
    worker = LiveWorker()
    prepared = worker.answer(Prepare(given={**TINY, "models": "gan"}, settings=["gan.latent_dim=4"]))
    assert isinstance(prepared, Prepared), prepared
    assert [cell.name for cell in prepared.cells] == ["gan"]
    assert prepared.cells[0].settings["latent_dim"] == 4
    opened = worker.answer(Open(cell="gan", warmup=2))
    assert isinstance(opened, Opened), opened
    assert opened.images_per_step == 2
    timed = [worker.answer(question) for question in (Time(3), Time(1, slowdown=0.5), Control(2))]
    for answer in timed:
        assert isinstance(answer, Timed)
        assert answer.seconds > 0
        assert answer.processor_seconds is not None
        assert answer.processor_seconds > 0
    worker.close()
    assert prepared.unmeasured is not None
    counted = "instructions" not in prepared.unmeasured
    assert counted == all(answer.instructions is not None for answer in timed if isinstance(answer, Timed))


def test_an_engine_that_cannot_be_used_is_not_replaced_by_another() -> None:
    worker = LiveWorker()
    assert isinstance(worker.answer(Prepare(given={**TINY, "models": "gan", "engine": "graph"})), Prepared)
    failed = worker.answer(Open(cell="gan", warmup=2))
    worker.close()
    assert isinstance(failed, Failed)
    assert "The engine graph cannot be used" in failed.reason


def test_a_model_that_this_version_does_not_have_is_reported_separately() -> None:
    prepared = LiveWorker().answer(Prepare(given={**TINY, "models": "gan,dcgna"}))
    assert isinstance(prepared, Prepared), prepared
    assert [cell.name for cell in prepared.cells] == ["gan"]
    assert list(prepared.unknown) == ["dcgna"]
    assert "dcgan" in prepared.unknown["dcgna"]


@pytest.mark.parametrize(
    "question",
    [
        Prepare(wire=99, given={"models": "gan"}),
        Prepare(given={"models": "gan", "batch_size": "many"}),
        Open(cell="nothing", warmup=1),
        Time(1),
    ],
)
def test_an_impossible_request_is_answered_with_the_reason(question: Question) -> None:
    answer = LiveWorker().answer(question)
    assert isinstance(answer, Failed)
    assert answer.reason


def test_questions_and_answers_survive_encoding() -> None:
    for question in (
        Prepare(given={"models": ["gan"]}),
        Open(cell="gan", warmup=3),
        Time(4, slowdown=0.05),
        Control(2),
    ):
        assert msgspec.json.decode(msgspec.json.encode(question), type=Question) == question  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(Timed(0.5)), type=Answer) == Timed(0.5)  # type: ignore[arg-type]


def test_a_slowed_step_takes_longer_by_its_share() -> None:
    def step() -> None:
        time.sleep(0.01)

    slow = slowed(step, 0.5)
    begin = time.perf_counter()
    for _ in range(10):
        slow()
    assert 0.15 <= time.perf_counter() - begin < 10


def test_a_step_slowed_by_processor_time_uses_more_of_it() -> None:
    def step() -> None:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass

    slow = slowed(step, 0.5, "processor")
    begin = time.process_time()
    for _ in range(10):
        slow()
    assert 0.15 <= time.process_time() - begin < 1


def test_a_step_that_waits_takes_wall_time_and_no_processor_time() -> None:
    """A planted slowdown that only sleeps, as a lock or a slow disk would: invisible to processor time."""
    worker = LiveWorker()
    work = lambda: sum(range(20_000))  # noqa: E731
    plain = worker._time(work, 50)  # type: ignore[arg-type]
    waiting = worker._time(lambda: (work(), time.sleep(0.01))[1], 50)
    worker.close()
    assert waiting.seconds > plain.seconds + 0.4
    assert plain.processor_seconds is not None
    assert waiting.processor_seconds is not None
    assert waiting.processor_seconds < plain.processor_seconds + 0.2


def test_an_answer_from_before_processor_time_is_understood() -> None:
    timed = msgspec.json.decode(b'{"type":"timed","seconds":0.5}', type=Answer)  # type: ignore[arg-type]
    assert timed == Timed(0.5)
    assert timed.processor_seconds is None


def test_a_slowdown_of_both_arms_halfway_through_a_block_shows_no_difference() -> None:
    halfway = Measured("gan", 1, "ABBABAAB", (1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0))
    assert log_ratio(halfway, "wall") == 0.0
    drifting = Measured("gan", 1, "ABBABAAB", tuple(1.02**window for window in range(8)))
    assert log_ratio(drifting, "wall") == pytest.approx(0.0, abs=1e-12)


def test_a_few_disturbed_windows_do_not_change_a_block() -> None:
    quiet = Measured("gan", 1, "ABBABAABABBABAAB", tuple(1.1 if arm == "B" else 1.0 for arm in "ABBABAABABBABAAB"))
    seconds = list(quiet.seconds)
    seconds[1] = seconds[2] = seconds[3] = 9.0
    disturbed = Measured("gan", 1, quiet.order, tuple(seconds))
    assert log_ratio(quiet, "wall") == log_ratio(disturbed, "wall") == pytest.approx(math.log(1.1))
    assert math.isnan(log_ratio(Measured("gan", 1, "AB", (0.0, 1.0)), "wall"))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_first_step_after_the_pause_is_not_timed(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the other arm was timed, caches got its data and the device was idle: the first work is slower."""
    events: list[str] = []
    now = [0.0]

    def work() -> None:
        events.append("step")
        now[0] += 5.0 if len(events) == 1 else 1.0

    monkeypatch.setattr("genbench.ab.live.synchronise", lambda device: events.append("synchronise"))
    monkeypatch.setattr("genbench.ab.live.time.perf_counter", lambda: now[0])
    worker = LiveWorker()
    worker._device = torch.device(device)
    timed = worker._time(work, 3)
    assert events == ["step", "synchronise"] + ["step"] * 3 + ["synchronise"]
    assert timed.seconds == 3.0
