"""The memory format of a training: measured where the device may be faster with either, and kept once it is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from engine_cells import built, differing, steps

from genbench.ab.session import Session
from genbench.ab.wire import Open, Opened
from genbench.cell.cost_estimate import choose_memory_format as chosen_by_the_estimate
from genbench.gate.from_run import strided_convolutions
from genbench.report.engines import engine_lines
from genbench.results.schema import Counters, MemoryFormatName
from genbench.train import builder
from genbench.train.checkpoint import load_checkpoint, save_checkpoint
from genbench.train.engine import Eager, Engine, EngineUnavailable
from genbench.train.engines import memory_format_choice, selection
from genbench.train.engines.distributed import DataParallel
from genbench.train.engines.memory_format_choice import ROUNDS, choose_memory_format, faster_format
from genbench.train.engines.selection import choose_engine, use_engine
from genbench.train.memory_format import MEMORY_FORMATS, format_name, use_memory_format
from genbench.train.process_group import World
from genbench.train.state import read_state

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the CPU pass for an accelerator on which a step takes this long in each format."""
    told: dict[str, Any] = {"contiguous": 2e-3, "channels_last": 1e-3, "windows": []}

    def seconds_per_step(engine: Engine, seconds: float) -> float:
        engine.step()
        name = format_name(engine.memory_format)
        told["windows"].append((name, engine.execution.name))
        if isinstance(told[name], Exception):
            raise told[name]
        return float(told[name])

    for module in (memory_format_choice, selection):
        monkeypatch.setattr(module, "is_accelerator", lambda device: True)
    monkeypatch.setattr(memory_format_choice, "seconds_per_step", seconds_per_step)
    return told


@pytest.mark.parametrize("model", ["dcgan", "conv-vae"])
def test_a_training_that_is_rearranged_is_that_of_the_other_format(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: dict[str, Any] = {"ema_half_life": 100.0, "optimizer": "adam"}
    rearranged = built(model, **recipe)
    assert rearranged.memory_format == CHANNELS_LAST
    use_memory_format(rearranged.engine, CONTIGUOUS)
    monkeypatch.setattr(builder, "default_memory_format", lambda networks: CONTIGUOUS)
    expected = built(model, **recipe)
    assert differing(steps(rearranged.engine), steps(expected.engine)) == []
    assert rearranged.memory_format == CONTIGUOUS


def test_no_value_changes_and_everything_with_channels_is_rearranged() -> None:
    engine = built("dcgan", ema_half_life=100.0).engine
    steps(engine)
    before, identities = read_state(engine).copy().tensors, [id(p) for p in engine.networks["generator"].parameters()]
    use_memory_format(engine, CONTIGUOUS)
    assert differing(before, read_state(engine).tensors) == []
    assert [id(p) for p in engine.networks["generator"].parameters()] == identities
    assert engine.average is not None
    held = [p for network in engine.networks.values() for p in network.parameters()]
    held += [p for network in engine.average.networks.values() for p in network.parameters()]
    held += [
        m for player in engine.players if player.optimizer for s in player.optimizer.state.values() for m in s.values()
    ]
    assert sum(tensor.ndim == 4 for tensor in held) > 10
    assert all(tensor.is_contiguous() for tensor in held)
    images, _ = engine.data.next_batch()
    assert images.is_contiguous()
    steps(engine)  # still trains


def test_on_an_accelerator_the_steps_decide(gpu: dict[str, Any]) -> None:
    plain, engine = built("dcgan").engine, built("dcgan").engine
    choice = choose_memory_format(engine)
    assert (choice.used, choice.reason) == ("channels_last", "the faster")
    assert choice.seconds_per_step == {"contiguous": [2e-3] * ROUNDS, "channels_last": [1e-3] * ROUNDS}
    assert [name for name, _ in gpu["windows"][:4]] == ["channels_last", "contiguous", "contiguous", "channels_last"]
    assert differing(steps(engine), steps(plain)) == []  # the timed steps have left no trace

    gpu["contiguous"] = 5e-4
    other = built("dcgan").engine
    assert choose_memory_format(other).used == "contiguous"
    assert other.memory_format == CONTIGUOUS
    assert next(p for p in other.networks["discriminator"].parameters() if p.ndim == 4).is_contiguous()


def test_a_tie_is_contiguous() -> None:
    def of(contiguous: float, channels_last: float) -> MemoryFormatName:
        return faster_format({"contiguous": [contiguous] * 3, "channels_last": [channels_last] * 3})

    assert (of(1.0, 1.0), of(1.0, 0.99), of(1.0, 1.5)) == ("contiguous",) * 3
    assert of(1.0, 0.97) == "channels_last"


def test_long_steps_are_timed_once_in_each_format(gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_format_choice, "ENOUGH_SECONDS", 0.0)
    choice = choose_memory_format(built("dcgan").engine)
    assert [len(windows) for windows in choice.seconds_per_step.values()] == [1, 1]


def test_graphs_are_timed_where_the_training_replays_them(gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Replayed(Eager):
        name = "graph"

    monkeypatch.setattr(memory_format_choice, "open_execution", lambda name, engine: Replayed())
    choose_memory_format(built("dcgan").engine, replayed=True)
    assert {name for _, name in gpu["windows"]} == {"graph"}
    gpu["windows"].clear()

    def cannot(name: str, engine: Engine) -> None:
        raise EngineUnavailable("reads on the host")

    monkeypatch.setattr(memory_format_choice, "open_execution", cannot)
    assert choose_memory_format(built("dcgan").engine, replayed=True).used == "channels_last"
    assert {name for _, name in gpu["windows"]} == {"eager"}


class TwoRanks(World):
    """The first of two processes; the other one has sent this."""

    size = 2

    def __init__(self, other: tuple[str, dict[str, list[float]]]) -> None:
        self._other = other

    def all_gather(self, value: Any) -> list[Any]:
        return [value, list(self._other)]


def test_processes_that_train_one_cell_measure_alone_and_choose_for_the_slowest(gpu: dict[str, Any]) -> None:
    plain, engine = built("dcgan").engine, built("dcgan").engine
    engine.execution = together = DataParallel(engine)  # there is no process group: an exchange would fail
    phases = [player.phase for player in engine.players]
    other = {"contiguous": [1e-3, 9e-3], "channels_last": [4e-3, 4e-3]}  # it was short of time for a third window
    choice = choose_memory_format(engine, world=TwoRanks(("", other)))
    assert {name for _, name in gpu["windows"]} == {"eager"}
    assert choice.seconds_per_step == {"contiguous": [2e-3, 9e-3], "channels_last": [4e-3, 4e-3]}
    assert (choice.used, choice.reason) == ("channels_last", "the faster")
    assert engine.execution is together
    assert [player.phase for player in engine.players] == phases
    together.close()
    engine.execution = Eager()
    assert differing(steps(engine), steps(plain)) == []


def test_a_process_that_cannot_time_the_formats_leaves_all_with_the_rule(gpu: dict[str, Any]) -> None:
    gpu["contiguous"] = 5e-4
    choice = choose_memory_format(built("dcgan").engine, world=TwoRanks(("OutOfMemoryError", {})))
    assert (choice.used, choice.reason) == ("channels_last", "the formats could not be timed: OutOfMemoryError")


def test_formats_that_cannot_be_timed_leave_the_rule(gpu: dict[str, Any]) -> None:
    gpu["contiguous"] = torch.OutOfMemoryError("CUDA out of memory")
    plain, engine = built("dcgan").engine, built("dcgan").engine
    choice = choose_memory_format(engine)
    assert (choice.used, choice.reason) == ("channels_last", "the formats could not be timed: OutOfMemoryError")
    assert differing(steps(engine), steps(plain)) == []


def test_nothing_is_timed_where_nothing_is_to_be_chosen(gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_memory_format(built("vae").engine).reason == "no convolutions"
    known: tuple[MemoryFormatName, str] = ("contiguous", "used before the interruption")
    engine = built("dcgan").engine
    record = choose_engine(engine, "eager", 10, lambda activity: None, memory_format=known)
    assert record.memory_format is not None
    assert (record.memory_format.used, record.memory_format.reason) == known
    assert engine.memory_format == CONTIGUOUS
    monkeypatch.undo()
    choice = choose_memory_format(built("dcgan").engine)
    assert (choice.used, choice.reason) == ("channels_last", "the rule for processors")
    assert gpu["windows"] == []


def test_every_way_to_time_steps_chooses_in_the_same_way(gpu: dict[str, Any]) -> None:
    gpu["contiguous"] = 5e-4
    for choose in (
        lambda cell: choose_engine(cell.engine, "eager", 10, lambda activity: None),  # run
        lambda cell: use_engine(cell.engine, cell.recipe),  # ab, the fixture and the benchmarks
        lambda cell: chosen_by_the_estimate(cell.engine),
    ):
        cell = built("dcgan")
        choose(cell)
        assert cell.memory_format == CONTIGUOUS


def test_a_resumed_training_keeps_the_format(tmp_path: Path) -> None:
    whole, interrupted, resumed = (built("dcgan").engine for _ in range(3))
    for engine in (whole, interrupted):
        use_memory_format(engine, CONTIGUOUS)
    steps(interrupted, 2)
    save_checkpoint(tmp_path / "c", interrupted, {}, {})
    load_checkpoint(tmp_path / "c", resumed)
    use_memory_format(resumed, CONTIGUOUS)
    steps(whole, 2)
    assert differing(steps(whole, 2), steps(resumed, 2)) == []


class Arm:
    """One arm of a comparison; a version that does not choose has no format to prefer."""

    name = "arm"

    def __init__(self, prefers: str) -> None:
        self.prefers, self.asked = prefers, list[str]()

    def ask(self, question: Open) -> Opened:
        self.asked.append(question.memory_format)
        used = (question.memory_format or self.prefers) if self.prefers else ""
        return Opened(seconds_per_step=1e-3, images_per_step=8, memory_format=cast(Any, used))


@pytest.mark.parametrize(
    ("base", "head", "of_base", "of_head"),
    [
        ("contiguous", "channels_last", ["", "contiguous"], ["contiguous"] * 2),
        ("", "contiguous", ["", "channels_last"], ["channels_last"] * 2),
        ("contiguous", "", ["", "channels_last", "channels_last"], ["contiguous", "channels_last"]),
    ],
    ids=["both choose", "base is older", "head is older"],
)
def test_both_sides_of_ab_have_the_same_format(base: str, head: str, of_base: list[str], of_head: list[str]) -> None:
    arms = Arm(base), Arm(head)
    session = Session(cast(Any, arms[0]), cast(Any, arms[1]), cast(Any, None))
    for _ in range(2):  # blocks
        session.open("dcgan", cast(Any, arms[0]), cast(Any, arms[1]))
    assert arms[0].asked == of_base
    assert arms[1].asked == of_head
    shared = Session(cast(Any, None), cast(Any, None), cast(Any, None), memory_formats=session.memory_formats)
    assert shared.memory_formats["dcgan"] == of_head[-1]


def test_the_choice_is_shown_with_its_times(gpu: dict[str, Any]) -> None:
    record = choose_engine(built("dcgan").engine, "eager", 10, lambda activity: None)
    assert engine_lines(record)[1] == (
        "  memory format: channels_last, the faster, 2.00 ms per step in contiguous, 1.00 ms per step in channels_last"
    )


def test_convolutions_in_another_format_than_the_trainings_are_counted() -> None:
    counters = Counters(convolutions=24.0, channels_last=20.0)
    assert strided_convolutions(counters, "channels_last") == 4
    assert strided_convolutions(counters, "contiguous") == 20
    assert set(MEMORY_FORMATS) == {"contiguous", "channels_last"}
