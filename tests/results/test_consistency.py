"""A record of the right types that states something impossible costs only itself, in every command that reads runs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from example_runs import cell, changed, estimate, stored
from inconsistent_runs import full_cell, full_run
from mutations import Mutation, mutations

from genbench.cli import invoke
from genbench.errors import ExitCode, UsageError
from genbench.results.consistency import LONGEST_ID, problem_of_id, problem_of_planned_cell, problem_of_result
from genbench.results.schema import Best, CurvePoint, EvaluationPoint, PlannedCell
from genbench.results.store import RunDirectory

REFERENCE = Path(__file__).parents[2] / "results" / "reference"
SAMPLE = 12  # mutations of each file that the fast test tries; the slow one tries a twentieth of all


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return full_run(tmp_path_factory.mktemp("mutated") / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_run(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture(scope="module")
def baseline(whole: Path) -> Path:
    path = whole.parent / "baseline.json"
    assert invoke(["baseline", "update", str(whole), "--baseline", str(path)]) == 0
    return path


def commands(run: Path, whole: Path, baseline: Path) -> Iterator[tuple[object, ...]]:
    yield "table", run
    yield "table", run, "--per-seed", "--format", "json"
    yield "report", run
    yield "show", run
    yield "show", run, "--cell", "gan-1"
    yield "compare", whole, run
    yield "history", whole, run
    yield "check", run, "--baseline", baseline
    yield "baseline", "update", run, "--baseline", baseline.with_name("new.json")


def file_of(run: RunDirectory, name: str) -> Path:
    return {"cell": run.cell_path("gan-1"), "plan": run.record_path, "references": run.reference_path("mini-ref")}[name]


def complaints(
    path: Path, chosen: list[Mutation], each: Callable[[], Iterator[tuple[object, ...]]], read: Callable[[], str]
) -> list[str]:
    """Return every command that ended in a traceback, or could not write a file of the report."""
    whole, found = path.read_bytes(), []
    try:
        for mutation in chosen:
            path.write_text(json.dumps(mutation.document))
            for command in each():
                code = invoke([str(part) for part in command])
                said = read()
                if code == ExitCode.BUG or "Traceback" in said or "was not written" in said:
                    found.append(f"{command[0]}: {mutation.where} = {str(mutation.value)[:60]}: {said[-300:]}")
    finally:
        path.write_bytes(whole)
    return found


@pytest.mark.parametrize("name", ["cell", "plan", "references"])
def test_no_changed_field_ends_a_command(
    name: str, run: RunDirectory, whole: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(run, name)
    chosen = random.Random(4).sample(list(mutations(json.loads(path.read_bytes()))), SAMPLE)
    assert not complaints(
        path, chosen, lambda: commands(run.path, whole, baseline), lambda: "".join(capsys.readouterr())
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cell", "plan", "references"])
def test_hardly_any_changed_field_ends_a_command(
    name: str, run: RunDirectory, whole: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(run, name)
    chosen = list(mutations(json.loads(path.read_bytes())))[3::20]
    assert not complaints(
        path, chosen, lambda: commands(run.path, whole, baseline), lambda: "".join(capsys.readouterr())
    )


# Changes that ended every command with a traceback before they were checked.
IMPOSSIBLE: dict[str, Callable[[Any], object]] = {
    "no engine": lambda stored: stored["identity"]["recipe"].pop("engine"),
    "processes": lambda stored: stored["identity"]["recipe"].update(nproc=1e300),
    "image shape": lambda stored: stored["identity"].update(image_shape=[1, -28, 0]),
    "best": lambda stored: stored["best"].update(metric="unknown"),
    "integer": lambda stored: stored.update(images=10**400),
    "count": lambda stored: stored["memory"].update(peak_rss=-1),
    "seconds": lambda stored: stored["windows"][0].update(seconds=-1.0),
    "size": lambda stored: stored["estimates"][0].update(value=1e300),
    "sampling": lambda stored: stored["sampling"].pop("batch_norm"),
    "learning rate": lambda stored: stored["identity"]["recipe"].update(learning_rate=-1.0),
}


@pytest.mark.parametrize("change", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_result_is_damage_that_costs_one_cell(
    change: Callable[[Any], object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = full_run(tmp_path / "run")
    document = json.loads(run.cell_path("gan-1").read_bytes())
    change(document)
    run.cell_path("gan-1").write_text(json.dumps(document))
    cells = run.read_cells()
    assert list(cells.damaged) == ["gan-1"]
    assert list(cells.results) == ["gan-2", "vae-1"]
    assert invoke(["table", str(run.path), "--per-seed"]) == 0
    assert "damaged: cells/gan-1.json: " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["no engine", "processes", "image shape", "learning rate"])
def test_an_impossible_plan_of_a_cell_costs_only_that_cell(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = full_run(tmp_path / "run")
    document = json.loads(run.record_path.read_bytes())
    IMPOSSIBLE[name](document["cells"][0])
    run.record_path.write_text(json.dumps(document))
    contents = RunDirectory.open(run.path).read()
    assert [planned.id for planned in contents.record.cells] == ["gan-2", "vae-1"]
    assert list(contents.left_out) == ["gan-1"]
    for command in ("table", "show"):
        assert invoke([command, str(run.path)]) == 0
        assert "gan-1: its entry in run.json is damaged: " in " ".join(capsys.readouterr().out.split())
    with pytest.raises(UsageError, match=r"run\.json is damaged: cells\.0: identity\.[\s\S]*Restore"):
        RunDirectory.open(run.path).require_whole_plan()


@pytest.mark.parametrize("id", ["a/b", "../up", "x" * 300, "ü" * 150, "a\0b", ".hidden", ""])
def test_an_id_that_cannot_be_the_name_of_a_file(id: str, tmp_path: Path) -> None:
    assert problem_of_id(id)
    run = full_run(tmp_path / "run")
    document = json.loads(run.record_path.read_bytes())
    document["cells"][0]["id"] = id
    run.record_path.write_text(json.dumps(document))
    assert list(RunDirectory.open(run.path).read().left_out) == ["cell 0"]


def test_the_longest_id_leaves_room_for_every_file(tmp_path: Path) -> None:
    id = "x" * LONGEST_ID
    run = stored(tmp_path / "run", cell(id))
    assert list(run.read_cells().results) == [id]


def test_a_plan_without_any_sound_cell_is_damaged(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    document = json.loads(run.record_path.read_bytes())
    for planned in document["cells"]:
        planned["identity"]["recipe"] = {}
    run.record_path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"run\.json is damaged: cells\.0: identity\.recipe has no precision"):
        RunDirectory.open(run.path)


def test_a_result_whose_settings_are_not_those_of_the_plan_is_damage(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    document = json.loads(run.cell_path("gan-1").read_bytes())
    document["identity"]["recipe"]["learning_rate"] = 0.5
    run.cell_path("gan-1").write_text(json.dumps(document))
    assert "identity.recipe.learning_rate is not that of" in run.read_cells().damaged["gan-1"]


def test_what_genbench_writes_is_consistent() -> None:
    result = full_cell()
    assert problem_of_result(result) == problem_of_result(cell()) == ""
    assert problem_of_planned_cell(PlannedCell(id="gan-1", identity=result.identity)) == ""
    assert problem_of_result(msgspec.structs.replace(result, sampling={}, best=None)) == ""


def test_the_published_results_are_consistent() -> None:
    runs = [path.parent for path in sorted(REFERENCE.glob("**/run.json"))]
    assert runs
    for path in runs:
        contents = RunDirectory.open(path).read()
        assert (contents.cells.damaged, contents.references.damaged, contents.left_out) == ({}, {}, {}), path


def test_an_impossible_number_costs_only_itself_when_a_result_is_written(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    result = full_cell()
    huge = [estimate("fd-cnn", 1e200), estimate("psnr", 17.0, 1e200), estimate("count", 10**400)]
    curves = [CurvePoint(step=10, images=320, terms={"loss": 1e200, "other": 1.0})]
    best = Best(metric="fd-cnn", step=10, images=320, estimates=huge)
    points = [EvaluationPoint(step=10, images=320, estimates=huge)]
    run.write_cell(changed(result, estimates=huge, curves=curves, best=best, evaluations=points, unavailable=[]))
    read = run.read_cells().results["gan-1"]
    assert [(one.metric, one.value, one.standard_error) for one in read.estimates] == [("psnr", 17.0, None)]
    assert [one.metric for one in read.unavailable] == ["fd-cnn", "count"]
    assert read.curves[0].terms == {"loss": None, "other": 1.0}
    assert read.best is None
    assert read.status == "ok"


def test_a_result_that_cannot_be_stored_says_so_in_its_place(tmp_path: Path) -> None:
    run = full_run(tmp_path / "run")
    run.write_cell(changed(full_cell(), images=-1))
    read = run.read_cells().results["gan-1"]
    assert (read.status, read.reason) == (
        "failed",
        "its result could not be stored, because images is -1, which is negative",
    )
