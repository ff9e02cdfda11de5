"""Running a race: what is executed, written and skipped, and that an interruption changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_line import TINY
from example_runs import cell, changed, comparability, estimate
from warm import run as run_command

import genbench
from genbench.commands.race_execution import run_races
from genbench.errors import UsageError
from genbench.gate.contrasts import contrasts, rankings
from genbench.gate.samples import samples_of_runs
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.report.archive import pack
from genbench.report.gate import contrasts as comparison
from genbench.report.run_details import describe_run, run_text
from genbench.report.table.comparison_table import make_table
from genbench.report.table.render import render
from genbench.results.schema import RunRecord, Status
from genbench.results.store import RunDirectory
from genbench.runner.supervisor import FINAL

Outcome = float | Status  # of the metric, or a status without metrics
RATES = ("0.001", "0.0003", "0.0001")


@cache
def installed() -> Catalogue:
    return discover([])


def raced(path: Path, seeds: int = 6, **given: object) -> RunDirectory:
    """Create a run of three candidates, which differ in the learning rate."""
    asked = {"models": "gan", "learning_rate": ",".join(RATES), "race": "fd", "seeds": list(range(seeds)), **given}
    made = make_plan(make_request(asked), installed(), "cpu")
    record = RunRecord(
        created="2025-01-01", genbench="0.1.0", profile="quick", cells=made.cells, swept=made.swept, races=made.races
    )
    return RunDirectory.create(path, record)


class Machine:
    """Gives each cell the result that a function of candidate and seed names."""

    def __init__(self, run: RunDirectory, outcome: Callable[[int, int], Outcome], stop_after: int = 10_000) -> None:
        self.run, self.outcome, self.left = run, outcome, stop_after
        self.executed: list[str] = []
        self.told: list[str] = []

    def execute(self, part: RunRecord) -> None:
        done = {id for id, result in self.run.read_cells().results.items() if result.status in FINAL}
        for planned in part.cells:
            if planned.id in done:
                continue
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.executed.append(planned.id)
            identity = planned.identity
            found = self.outcome(RATES.index(str(identity.recipe["learning_rate"])), identity.seed)
            result = cell(planned.id, identity, comparability=comparability(), estimates=[])
            if isinstance(found, str):
                result = changed(result, status=found, reason="because")
            else:
                result = changed(result, estimates=[estimate("fd-fashion-cnn", found)])
            self.run.write_cell(result)

    def race(self) -> RunDirectory:
        run = RunDirectory(self.run.path)
        run.require_whole_plan()
        run_races(run, run.record, self.execute, self.told.append)
        return RunDirectory(self.run.path)


def spread(candidate: int, seed: int) -> float:
    """The first candidate is the best, the second close to it, the third much worse; no two differences are equal."""
    return 40 + (0, 0.8, 30)[candidate] + ((seed * 7 + candidate * 5) % 11) / 10


def statuses(run: RunDirectory) -> dict[tuple[str, int], str]:
    results = run.read_cells().results
    return {
        (str(planned.identity.recipe["learning_rate"]), planned.identity.seed): results[planned.id].status
        for planned in run.record.cells
    }


def test_a_dropped_candidate_is_skipped_and_its_budget_goes_to_the_others(tmp_path: Path) -> None:
    machine = Machine(raced(tmp_path / "run"), spread)
    run = machine.race()
    found = statuses(run)
    assert run.race is not None
    (looks,) = run.race.looks
    first_drop = next(look for look in looks if look.drops)
    assert first_drop.drops[0].candidate.endswith("0.0001") and first_drop.seeds < 6
    own = [found["0.0001", seed] for seed in range(6)]
    assert own == ["ok"] * first_drop.seeds + ["skipped"] * (6 - first_drop.seeds)
    saved = 6 - first_drop.seeds
    further = [seed for rate, seed in found if rate == "0.001" and seed > 5]
    assert further == list(range(6, 6 + saved // 2))  # each further seed of two costs two saved ones
    assert len(machine.executed) <= 18
    skipped = run.read_cells().results[run.record.races[0].candidates[2].cells[-1]]
    assert skipped.reason.startswith(f"dropped by the race: after {first_drop.seeds} seeds by fd-fashion-cnn, ")
    assert "worse than gan · non-saturating · learning_rate 0.001 over" in skipped.reason
    assert "undecided between" in machine.told[-1]


def test_a_decided_race_ends_and_skips_what_it_does_not_need(tmp_path: Path) -> None:
    machine = Machine(raced(tmp_path / "run", seeds=8), lambda place, seed: spread(place, seed) + 20 * place)
    run = machine.race()
    assert machine.told[-1].endswith("gan · non-saturating · learning_rate 0.001 is the only candidate left")
    last = run.read_cells().results[run.record.races[0].candidates[0].cells[-1]]
    assert last.status == "skipped" and last.reason.startswith("not needed: the race was decided after ")
    assert len(run.record.cells) == 24 and len(machine.executed) < 24


@pytest.mark.parametrize("stop_after", [0, 8, 9, 13])
def test_an_interrupted_race_goes_on_to_the_same_decisions_and_repeats_nothing(tmp_path: Path, stop_after: int) -> None:
    whole = Machine(raced(tmp_path / "whole"), spread)
    expected = whole.race()
    run = raced(tmp_path / "parts")
    assert stop_after < len(whole.executed)
    machine = Machine(run, spread, stop_after)
    with pytest.raises(KeyboardInterrupt):
        machine.race()
    machine.left = 10_000
    resumed = machine.race()
    assert resumed.race == expected.race
    assert statuses(resumed) == statuses(expected)
    assert machine.executed == whole.executed
    again = Machine(run, spread)
    assert again.race().race == expected.race and not again.executed


def test_an_interruption_between_a_decision_and_what_follows_changes_nothing(tmp_path: Path) -> None:
    whole = Machine(raced(tmp_path / "whole"), spread).race()
    run = raced(tmp_path / "run")
    Machine(run, spread).race()
    for id, result in RunDirectory(run.path).read_cells().results.items():
        if result.status == "skipped":
            run.cell_path(id).unlink()
    assert statuses(Machine(run, spread).race()) == statuses(whole)


def test_two_failures_drop_a_candidate_for_good_and_one_is_repeated(tmp_path: Path) -> None:
    def failing(candidate: int, seed: int) -> Outcome:
        failed = (candidate == 0 and seed < 2) or (candidate == 1 and seed == 1)
        return "timeout" if failed else spread(candidate, seed)

    run = raced(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        Machine(run, failing, stop_after=10).race()  # within the block after the first look
    race = RunDirectory(run.path).race
    assert race is not None
    assert [(drop.cause, drop.failures) for drop in race.looks[0][0].drops] == [("failing", 2)]
    machine = Machine(run, spread)  # with a longer time limit, say
    resumed = machine.race()
    repeated = [id for id in machine.executed if "-s0-" in id or "-s1-" in id]
    assert repeated == [run.record.races[0].candidates[1].cells[1]]
    assert resumed.race is not None and resumed.race.looks[0][0] == race.looks[0][0]
    reason = resumed.read_cells().results[run.record.races[0].candidates[0].cells[-1]].reason
    assert "as failing: 2 of them have no fd-fashion-cnn" in reason


def test_if_all_candidates_fail_the_race_ends(tmp_path: Path) -> None:
    machine = Machine(raced(tmp_path / "run"), lambda place, seed: "diverged")
    run = machine.race()
    assert machine.told[-1] == "the race ended after 3 seeds: every candidate failed"
    assert sorted(statuses(run).values()) == ["diverged"] * 9 + ["skipped"] * 9


def test_the_table_says_what_was_dropped_when_and_why(tmp_path: Path) -> None:
    run = Machine(raced(tmp_path / "run"), spread).race()
    contents = run.read()
    table = make_table(contents, over_seeds=True)
    texts = [row.values["race"].text for row in table.rows]
    assert texts[:2] == ["one of 2 left"] * 2
    assert texts[2].startswith("dropped after ") and "worse than gan" in texts[2]
    assert "race on fd-fashion-cnn, error 5%, fashion-mnist-mini: the race ended after" in table.caption
    assert "numbers of seeds are unequal by design" in table.caption
    assert any(text.startswith("skipped: dropped by the race: after") for _, text in table.footnotes)
    assert '"race": "one of 2 left"' in render(table, "json")
    assert "race: 2 of 3 left" in run_text(describe_run(run, contents))
    samples = samples_of_runs([contents])
    pairs = contrasts(samples)
    shown = comparison.text(rankings(samples, pairs), pairs)
    assert "A race stopped cells because of their values" in shown and "not run, as the race decided" in shown
    assert comparison.document(rankings(samples, pairs), pairs)["remark"]


def test_a_plan_says_what_decides_and_what_it_costs_at_least_and_at_most() -> None:
    made = genbench.plan(models="gan,vae", seeds=range(5), images=1000, race="fd:error=1%:seeds=6", device="cpu")
    (race,) = json.loads(made.to_json())["races"]
    assert (race["least_cells"], race["most_cells"], race["least_images"], race["most_images"]) == (6, 10, 6000, 10_000)
    assert [look["seeds"] for look in race["looks"]] == [3, 4, 5, 6]
    assert 0.01 / 8 < race["looks"][0]["level"] < 0.01 / 2  # two pairs, four looks that depend on each other
    assert "error 1%: of dropping a candidate than which none is better, over all looks" in made.text()
    assert "cost: from 6 cells (6,000 images) to the full plan, 10 cells (10,000 images), never more" in made.text()


def test_an_archive_holds_the_decisions(tmp_path: Path) -> None:
    run = Machine(raced(tmp_path / "run"), spread).race()
    pack(run, tmp_path / "run.zip")
    opened = RunDirectory.open(tmp_path / "run.zip")
    assert opened.race == run.race and len(opened.record.cells) == len(run.record.cells)


@pytest.mark.parametrize(
    "damage",
    [
        lambda race: b"{",
        lambda race: msgspec.json.encode({**race, "looks": []}),
        lambda race: msgspec.json.encode(
            {**race, "looks": [[{"seeds": 3, "standings": [{"candidate": "<b>", "seeds": 3}]}]]}
        ),
        lambda race: msgspec.json.encode({**race, "schema_version": 99}),
    ],
)
def test_a_damaged_file_costs_only_the_race_and_is_not_resumed(
    tmp_path: Path, damage: Callable[[dict[str, Any]], bytes]
) -> None:
    run = Machine(raced(tmp_path / "run"), spread).race()
    run.race_path.write_bytes(damage(msgspec.json.decode(run.race_path.read_bytes())))
    opened = RunDirectory.open(run.path)
    contents = opened.read()
    assert contents.race is None and "the race" in contents.left_out
    assert "left out: the race" in make_table(contents, over_seeds=True).caption
    with pytest.raises(UsageError, match=r"race\.json is damaged"):
        opened.require_whole_plan()


def test_the_command_races_real_cells(tmp_path: Path) -> None:
    arguments = [*TINY, "--models", "vae", "--learning-rate", "1e-3,1e-4", "--seeds", "0,1,2"]
    arguments += ["--metrics", "psnr", "--race", "psnr"]
    done = run_command(*arguments, out=tmp_path / "run")
    assert done.code == 0, done.err
    assert "left after 3 seeds" in done.err
    record = msgspec.json.decode((tmp_path / "run" / "race.json").read_bytes())
    assert [look["seeds"] for look in record["looks"][0]] == [3]
    assert "race on psnr" in (tmp_path / "run" / "table.md").read_text()
    again = run_command(out=tmp_path / "run", resume=True)
    assert again.code == 0, again.err
    assert msgspec.json.decode((tmp_path / "run" / "race.json").read_bytes()) == record
