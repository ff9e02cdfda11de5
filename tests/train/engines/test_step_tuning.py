"""The tuner of the step: what it chooses by timing, what it leaves alone, and that a choice is kept."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from engine_cells import built, differing, steps

from genbench.ab.session import Session
from genbench.ab.wire import Open, Opened
from genbench.cell.comparability import with_engine
from genbench.cell.training_loop import Training
from genbench.gate.reproduction import bits_agree
from genbench.measure.memory import PeakMemory
from genbench.report.engines import engine_lines
from genbench.results.schema import Comparability, EngineRecord, StepTuning, Surroundings
from genbench.train.engine import Engine
from genbench.train.engines import step_tuning
from genbench.train.engines.selection import choose_engine
from genbench.train.engines.step_tuning import (
    FEWEST_ROUNDS,
    FEWEST_STEPS,
    MOST_ROUNDS,
    StepRequest,
    compare,
    tune_step,
)
from genbench.train.memory_format import format_name
from genbench.train.step_alternatives import Alternatives, step_alternatives, use_options
from genbench.train.training_evidence import TrainingEvidence

LONG = 10**6  # steps
Machine = Callable[..., float]  # seconds per step with these options


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only note how many threads are asked for: on a busy machine they would wait for each other."""
    count = [1]
    monkeypatch.setattr(torch, "set_num_threads", lambda number: count.__setitem__(0, number))
    monkeypatch.setattr(torch, "get_num_threads", lambda: count[0])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a millisecond pass between two looks at the clock."""
    ticks = itertools.count()
    monkeypatch.setattr(step_tuning, "time", SimpleNamespace(perf_counter=lambda: 1e-3 * next(ticks)))


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], list[dict[str, str]]]:
    """Return a function that replaces the clock by a machine's seconds per step; it returns what is then timed."""

    def replace(machine: Machine) -> list[dict[str, str]]:
        seen: list[dict[str, str]] = []

        def seconds_of(engine: Engine, steps: int, untimed: bool) -> float:
            options = {choice.name: choice.current(engine) for choice in step_alternatives(2)}
            if len(seen) < 3:
                engine.step()
            seen.append(options)
            return machine(int(options.pop("threads")), *options.values())

        monkeypatch.setattr(step_tuning, "seconds_of", seconds_of)
        return seen

    return replace


def two_threads(model: str = "dcgan") -> Engine:
    engine = built(model).engine
    torch.set_num_threads(2)
    return engine


def many_cores(threads: int, memory_format: str, small_maps: str, linear: str, optimizer: str) -> float:
    """A machine with fast convolutions in the usual format and a slow BLAS, whose threads pay off."""
    slow = (memory_format == "contiguous") + (small_maps == "product") + (linear == "blas") + (optimizer == "foreach")
    return 1e-3 / threads * 2**slow


def busy_cores(threads: int, memory_format: str, small_maps: str, linear: str, optimizer: str) -> float:
    """A machine with other work, where threads wait for each other, and without kernels for channels_last."""
    slow = (memory_format == "channels_last") + (small_maps == "convolution") + (linear == "onednn")
    return 1e-3 * threads * 2 ** (slow + (optimizer == "fused"))


@pytest.mark.parametrize(
    ("model", "of_many", "of_busy"),
    [
        ("dcgan", {"small_maps": "convolution"}, {"memory_format": "contiguous"}),
        ("vae", {"linear": "onednn"}, {}),
    ],
)
def test_choices_differ_between_two_kinds_of_machine(model: str, of_many: Any, of_busy: Any, timed: Any) -> None:
    chosen = []
    for machine in (many_cores, busy_cores):
        timed(machine)
        engine = two_threads(model)
        found = tune_step(engine, LONG, StepRequest())
        assert found.reason == "the fastest"
        assert found.check is not None
        choices = step_alternatives(2)
        assert [trial.what for trial in found.trials] == [c.name for c in choices if len(c.options(engine)) > 1]
        assert found.chosen.items() <= {choice.name: choice.current(engine) for choice in choices}.items()
        chosen.append(found.chosen)
    assert chosen == [of_many, {"threads": "1"} | of_busy | {"optimizer": "foreach"}]


def test_ties_keep_the_defaults_and_leave_no_trace(timed: Any) -> None:
    timed(lambda threads, *options: 1e-3 * (0.99 if threads == 1 else 1))
    plain, engine = two_threads(), two_threads()
    found = tune_step(engine, LONG, StepRequest())
    assert (found.chosen, found.reason, found.check) == ({}, "no alternative is faster", None)
    assert torch.get_num_threads() == 2
    assert differing(steps(engine), steps(plain)) == []


def test_an_option_must_be_faster_in_more_rounds_than_chance_gives() -> None:
    fast, slow, one = 0.9, 1.1, 1.0
    assert compare({"default": [one] * 5, "other": [fast] * 5}) == ("other", False)
    assert compare({"default": [one] * 5, "other": [slow] * 5}) == ("default", False)
    assert compare({"default": [one] * 5, "other": [fast] * 4 + [slow]}) == ("default", True)
    assert compare({"default": [one] * 8, "other": [fast] * 7 + [slow]}) == ("other", False)
    assert compare({"default": [one] * 4, "other": [fast] * 4}) == ("default", True)  # too few to tell
    assert compare({"default": [one] * 5, "other": [fast] * 5, "best": [0.5] * 5})[0] == "best"
    drift = [1.0, 2.0, 4.0, 8.0, 16.0]  # other load slows both options of a round
    assert compare({"default": drift, "other": [0.9 * seconds for seconds in drift]}) == ("other", False)


def test_rounds_end_when_they_tell_or_after_the_most(timed: Any) -> None:
    timed(busy_cores)
    found = tune_step(two_threads(), LONG, StepRequest())
    assert {len(windows) for trial in found.trials for windows in trial.seconds_per_step.values()} == {FEWEST_ROUNDS}

    ratios = itertools.cycle((0.9, 1.1))
    timed(lambda threads, *options: 1e-3 * (next(ratios) if threads == 1 else 1))
    found = tune_step(two_threads("vae"), LONG, StepRequest())
    assert len(found.trials[0].seconds_per_step["1"]) == MOST_ROUNDS
    assert found.chosen == {}


def test_short_trainings_and_long_steps_are_not_tuned(timed: Any) -> None:
    seen = timed(busy_cores)
    engine = two_threads()
    for request, steps_left in (
        (StepRequest(), FEWEST_STEPS - 1),
        (StepRequest(wanted=False), LONG),
        (StepRequest(known={}, reason="used before"), LONG),
    ):
        assert tune_step(engine, steps_left, request).chosen == {}
    assert seen == []
    timed(lambda threads, *options: 100.0)
    found = tune_step(engine, FEWEST_STEPS, StepRequest())
    assert found.reason == "a step takes too long to time alternatives"


def test_an_alternative_that_trains_differently_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = [1.0]

    def use(engine: Engine, option: str) -> None:
        rate[0] = 1.0 if option == "1" else 1.5
        for player in engine.players:
            if player.optimizer is not None:
                for group in player.optimizer.param_groups:
                    group["lr"] = 1e-3 * rate[0]

    engine = built("vae").engine
    use(engine, "1")
    wrong = Alternatives("threads", lambda engine: ["1", "2"], lambda engine: "1" if rate[0] == 1 else "2", use)
    monkeypatch.setattr(step_tuning, "step_alternatives", lambda threads: (wrong,))
    monkeypatch.setattr(step_tuning, "seconds_of", lambda engine, steps, untimed: 1e-3 / rate[0])
    found = tune_step(engine, LONG, StepRequest())
    assert found.reason == "the chosen alternatives deviate by more than rounding"
    assert (found.chosen, rate) == ({}, [1.0])


def test_alternatives_that_cannot_be_timed_leave_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(engine: Engine, steps: int, untimed: bool) -> float:
        raise MemoryError

    monkeypatch.setattr(step_tuning, "seconds_of", fail)
    plain, engine = two_threads(), two_threads()
    assert tune_step(engine, LONG, StepRequest()).reason == "the alternatives could not be timed: MemoryError"
    assert differing(steps(engine), steps(plain)) == []


@pytest.mark.parametrize(("others", "kept"), [(0.0, True), (0.5, False), (None, False)])
def test_a_choice_is_kept_for_later_cells_if_the_machine_was_quiet(
    others: float | None, kept: bool, timed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(step_tuning.InterferenceMonitor, "stop", lambda monitor: Surroundings(others=others))
    timed(busy_cores)
    first = tune_step(two_threads(), LONG, StepRequest(key=b"dcgan"))
    seen = timed(many_cores)
    second = tune_step(two_threads(), LONG, StepRequest(key=b"dcgan"))
    assert (second.chosen == first.chosen) == (seen == []) == kept
    if kept:
        assert second.reason == "the fastest, found by an earlier cell"
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        tune_step(two_threads(), LONG, StepRequest(key=b"other networks"))
        assert seen


def test_known_options_are_used_and_impossible_ones_are_not() -> None:
    engine = two_threads()
    known = {"threads": "1", "memory_format": "contiguous", "small_maps": "by hand", "of a later version": "x"}
    found = tune_step(engine, LONG, StepRequest(known=known, reason="used before the interruption"))
    assert found == StepTuning(
        chosen={"threads": "1", "memory_format": "contiguous"}, reason="used before the interruption"
    )
    assert torch.get_num_threads() == 1
    assert format_name(engine.memory_format) == "contiguous"


OTHERS = {
    "dcgan": {"memory_format": "contiguous", "small_maps": "convolution", "optimizer": "foreach"},
    "vae": {"linear": "onednn", "optimizer": "foreach"},
}


@pytest.mark.parametrize("model", OTHERS)
def test_options_can_be_taken_back(model: str) -> None:
    plain, engine = built(model).engine, built(model).engine
    choices = step_alternatives(1)
    assert use_options(engine, choices, OTHERS[model]) == OTHERS[model]
    assert use_options(engine, choices, {}) == {}
    assert differing(steps(engine), steps(plain)) == []


def test_the_record_the_conditions_and_the_report_name_the_choice(timed: Any) -> None:
    timed(busy_cores)
    record = choose_engine(two_threads(), "eager", LONG, lambda activity: None, step=StepRequest())
    assert record.step_tuning is not None
    assert record.memory_format is not None
    assert record.memory_format.used == "contiguous"
    assert record.check_seconds >= record.step_tuning.timing_seconds > 0
    lines = engine_lines(record)
    assert lines[1].startswith(
        "  step tuning: threads = 1, memory_format = contiguous, optimizer = foreach: the fastest, 8.00 times as fast "
        "as the defaults, 8.00 ms per step with default, 1.00 ms per step with chosen, tuned in "
    )
    assert lines[2] == "    threads: 1, 8.00 ms per step with 2, 4.00 ms per step with 1"
    machine = Comparability(machine="m", cores=2, threads=2, torch="2", python="3", precision="fp32", engine="auto")
    conditions = with_engine(machine, record)
    assert (conditions.engine, conditions.step_tuning) == (
        "eager",
        "threads=1, memory_format=contiguous, optimizer=foreach",
    )
    assert not bits_agree(conditions, with_engine(machine, EngineRecord(asked="eager", used="eager")))


@pytest.mark.parametrize(("engine", "size"), [("compile", 1), ("eager", 2)])
def test_only_eager_steps_of_one_process_are_tuned(engine: str, size: int, timed: Any) -> None:
    from genbench.train.engines.selection import _tune
    from genbench.train.process_group import World

    class Several(World):
        pass

    world = Several()
    world.size = size
    seen = timed(busy_cores)
    found = _tune(two_threads(), engine, LONG, StepRequest(), lambda activity: None, world)
    assert (found.chosen, seen) == ({}, [])


class Arm:
    """One arm of a comparison, which knows some options; None: its version has no tuner."""

    name = "arm"

    def __init__(self, prefers: dict[str, str] | None) -> None:
        self.prefers, self.asked = prefers, list[dict[str, str] | None]()

    def ask(self, question: Open) -> Opened:
        self.asked.append(question.step_options)
        wanted = self.prefers if question.step_options is None else question.step_options
        used = {} if self.prefers is None else wanted or {}
        return Opened(seconds_per_step=1e-3, images_per_step=8, memory_format="channels_last", step_options=used)


ONE = {"threads": "1"}


@pytest.mark.parametrize(
    ("base", "head", "of_base", "of_head"),
    [
        (ONE, {"small_maps": "convolution"}, [None, ONE], [ONE, ONE]),
        ({}, ONE, [None, {}], [{}, {}]),
        (None, ONE, [None, {}], [{}, {}]),
        (ONE, None, [None, {}, {}], [ONE, {}]),
    ],
    ids=["both choose", "base keeps the defaults", "base is older", "head is older"],
)
def test_both_sides_of_ab_use_the_same_options(base: Any, head: Any, of_base: Any, of_head: Any) -> None:
    arms = Arm(base), Arm(head)
    session = Session(cast(Any, arms[0]), cast(Any, arms[1]), cast(Any, None))
    for _ in range(2):  # blocks
        session.open("vae", cast(Any, arms[0]), cast(Any, arms[1]))
    assert (arms[0].asked, arms[1].asked) == (of_base, of_head)


def test_a_resumed_training_and_a_repetition_use_the_options_of_the_first_steps(tmp_path: Any) -> None:
    engine = built("vae").engine
    training = Training(
        engine=engine,
        evidence=TrainingEvidence(engine.networks),
        total_steps=10,
        warmup_steps=0,
        resume_path=tmp_path / "c",
        checkpoint_seconds=1.0,
        data_hash="x",
        device=torch.device("cpu"),
        memory=PeakMemory(torch.device("cpu")),
        step_options=ONE,
    )
    training.save()
    resumed = dataclasses.replace(training, step_options={})
    resumed.resume()
    assert resumed.step_options == ONE
