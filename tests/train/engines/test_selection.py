"""The engine of a cell: the requested one if it trains like eager; with `auto`, the fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import torch
import warm
from command_line import TINY, run
from engine_cells import built

from genbench.results.schema import EngineRecord, MemoryFormatChoice
from genbench.train.engine import Engine, Execution
from genbench.train.engines import EngineUnavailable, selection
from genbench.train.engines.selection import choose_engine, engine_notes
from genbench.train.player import Player

MANY = 10**9  # steps, for which any preparation pays off


class Fake(Execution):
    """An execution that runs eagerly, optionally with other learning rates, and then waits."""

    notes: tuple[str, ...] = ()

    def __init__(self, name: str, wait: float = 0.0, rate: float = 1.0) -> None:
        self.name, self.wait, self.rate, self.closed = name, wait, rate, False

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        for player in due:
            assert player.optimizer is not None
            for group in player.optimizer.param_groups:
                group["lr"] *= self.rate
        engine.run_phases(due)
        time.sleep(self.wait)
        for player in due:
            assert player.optimizer is not None
            for group in player.optimizer.param_groups:
                group["lr"] /= self.rate

    def close(self) -> None:
        self.closed = True


Offer = Callable[..., dict[str, Fake]]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Make these engines available on the CPU."""

    def offered(**fakes: Fake) -> dict[str, Fake]:
        def opened(name: str, engine: Engine) -> Fake:
            if name not in fakes:
                raise EngineUnavailable("not here")
            return fakes[name]

        monkeypatch.setattr(selection, "open_execution", opened)
        monkeypatch.setitem(selection.CANDIDATES, False, ("graph", "compile"))
        monkeypatch.setattr(selection, "ROUND_SECONDS", 0.02)
        return fakes

    return offered


def choose(asked: str, engine: Engine | None = None, steps: int = MANY, before: str = "") -> EngineRecord:
    return choose_engine(engine or built("vae").engine, asked, steps, lambda text: None, before)


def outcomes(record: EngineRecord) -> dict[str, str]:
    return {trial.engine: trial.outcome for trial in record.trials}


def test_eager_is_not_compared_with_itself() -> None:
    layout = MemoryFormatChoice(used="contiguous", reason="no convolutions")
    assert choose("eager") == EngineRecord(asked="eager", used="eager", reason="asked for", memory_format=layout)


def test_the_requested_engine_is_used_if_it_trains_like_eager(offer: Offer) -> None:
    fakes, engine = offer(compile=Fake("compile")), built("vae").engine
    record = choose("compile", engine)
    assert (record.used, record.reason, outcomes(record)) == ("compile", "asked for", {"compile": "used"})
    assert engine.execution is fakes["compile"]
    check = record.trials[0].check
    assert check is not None
    assert [bound.found for bound in check.bounds] == [0, 0, 0, 0]
    assert engine_notes(record) == []


def test_an_engine_that_deviates_is_not_used_and_reported(offer: Offer) -> None:
    fakes, engine = offer(compile=Fake("compile", rate=1.1)), built("vae").engine
    record = choose("compile", engine)
    assert (record.used, outcomes(record)) == ("eager", {"compile": "deviates"})
    assert fakes["compile"].closed
    assert engine.execution.name == "eager"
    (note,) = engine_notes(record)
    assert note.startswith("the engine compile could not be used, trained eagerly: compile: in 20 steps the ")
    assert "deviate from eager fp32 by" in note


def test_an_engine_that_cannot_be_prepared_is_not_used_and_reported() -> None:
    record = choose("graph")
    assert (record.used, outcomes(record)) == ("eager", {"graph": "unavailable"})
    assert engine_notes(record) == ["the engine graph could not be used, trained eagerly: graph: needs a CUDA device"]


def test_auto_uses_the_fastest_engine_that_trains_like_eager(offer: Offer) -> None:
    fakes = offer(graph=Fake("graph", wait=0.02), compile=Fake("compile"))
    record = choose("auto")
    assert outcomes(record)["graph"] == "slower"
    assert set(outcomes(record)) == {"graph", "compile", "eager"}
    assert record.used != "graph"
    assert fakes["graph"].closed
    assert all(
        len(trial.seconds_per_step) % selection.ROUNDS == 0 < len(trial.seconds_per_step) for trial in record.trials
    )


def test_auto_holds_no_more_than_two_engines_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each graph holds the memory of a whole step: one that was slower is released before the next is captured."""
    opened: list[Fake] = []
    open_at_once: list[int] = []
    seconds = {"eager": 4.0, "graph+compile": 3.0, "graph": 1.0, "compile": 2.0}

    def open_execution(name: str, engine: Engine) -> Fake:
        opened.append(Fake(name))
        open_at_once.append(sum(not fake.closed for fake in opened))
        return opened[-1]

    monkeypatch.setattr(selection, "open_execution", open_execution)
    monkeypatch.setattr(selection, "seconds_per_step", lambda engine, _: seconds[engine.execution.name])
    monkeypatch.setitem(selection.CANDIDATES, False, ("graph+compile", "graph", "compile"))
    record = choose("auto")
    assert record.used == "graph"
    assert open_at_once == [1, 2, 2]
    assert [fake.closed for fake in opened] == [True, False, True]
    assert outcomes(record) == {"graph+compile": "slower", "eager": "slower", "graph": "used", "compile": "slower"}


def test_auto_rejects_a_faster_engine_that_deviates(offer: Offer) -> None:
    offer(graph=Fake("graph", rate=0.5), compile=Fake("compile"))
    record = choose("auto")
    assert outcomes(record)["graph"] == "deviates"
    assert record.used in ("compile", "eager")


def test_auto_skips_engines_whose_preparation_does_not_pay_off(offer: Offer) -> None:
    offer(graph=Fake("graph"), compile=Fake("compile"))
    record = choose("auto", steps=10)
    assert (record.used, outcomes(record)) == ("eager", {"graph": "not tried", "compile": "not tried"})
    assert record.trials[1].reason.endswith("preparation pays off from about 90 s")
    assert engine_notes(record) == []


def test_auto_keeps_the_engine_of_the_earlier_steps(offer: Offer) -> None:
    offer(graph=Fake("graph", wait=0.02), compile=Fake("compile"))
    record = choose("auto", before="graph")
    assert (record.used, record.reason) == ("graph", "used before the interruption")
    assert choose("auto", before="eager").used == "eager"
    unavailable = choose("auto", before="graph+compile")
    assert unavailable.used == "eager"
    assert engine_notes(unavailable, "graph+compile", 1200)[0] == (
        "the engine of the first 1,200 steps was graph+compile: the throughput covers both"
    )


def test_the_selection_does_not_affect_training(offer: Offer) -> None:
    offer(graph=Fake("graph"), compile=Fake("compile"))
    plain, chosen = built("dcgan").engine, built("dcgan").engine
    plain.step(), chosen.step()
    choose("auto", chosen)
    plain.step(), chosen.step()
    expected, found = plain.read_terms(), chosen.read_terms()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_a_cell_records_what_was_used_and_why(tmp_path: Path) -> None:
    done = run(*TINY, "--models", "vae", "--set", "vae.hidden=16", "--engine", "graph", out=tmp_path / "run")
    (cell,) = done.run_cells
    assert cell.status == "ok", cell.reason
    assert cell.identity.recipe["engine"] == "graph"
    assert cell.comparability is not None and cell.engine is not None
    assert cell.comparability.engine == cell.engine.used == "eager"
    assert "the engine graph could not be used, trained eagerly: graph: needs a CUDA device" in cell.notes
    table = (done.run / "table.md").read_text()
    assert "eager" in table
    output = warm.command("show", str(done.run), "--cell", cell.id).stdout
    assert "engine: eager (requested: graph): graph: needs a CUDA device" in output
    page = (done.run / "report.html").read_text()
    assert "needs a CUDA device" in page


@pytest.mark.slow
def test_a_compiled_cell_is_counted_and_reuses_compiled_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second cell with the same networks reuses the code of the first."""
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    asked = (*TINY, "--models", "vae", "--set", "vae.hidden=16", "--engine", "compile", "--seeds", "0,1")
    cells = sorted(run(*asked, out=tmp_path / "run").run_cells, key=lambda cell: cell.identity.seed)
    assert [cell.status for cell in cells] == ["ok", "ok"], [cell.reason for cell in cells]
    for cell in cells:
        assert cell.engine is not None and cell.comparability is not None
        assert cell.comparability.engine == cell.engine.used == "compile"
        assert cell.flops_per_image
        assert cell.durations.compile == cell.engine.prepare_seconds > 0
    assert cells[1].durations.compile < 0.7 * cells[0].durations.compile
    restored = msgspec.json.decode(msgspec.json.encode(cells[0].engine), type=EngineRecord)
    assert restored == cells[0].engine


def test_a_similar_name_is_suggested(tmp_path: Path) -> None:
    done = run(*TINY, "--models", "vae", "--engine", "compiled", out=tmp_path / "run")
    assert done.code == 2
    assert "compile" in done.err
