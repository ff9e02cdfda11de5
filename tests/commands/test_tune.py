"""`genbench.tune` and `genbench tune`: equal budgets, statuses, resuming, and what is written."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import forks
import jsonschema
import msgspec
import pytest
import warm
from command_line import FAULTS, wait_until

import genbench
from genbench.cli import invoke
from genbench.errors import NoDataError, UsageError
from genbench.planning.request import make_request, read_config
from genbench.results.store import RunDirectory
from genbench.results.tuning import read_tuning
from genbench.tuning.trial_cells import TrialPlanner, TunedModel

pytestmark = pytest.mark.usefixtures("forked_children")

TINY: dict[str, Any] = {
    "profile": "smoke", "images": 64, "samples": 16, "batch_size": 32, "device": "cpu", "threads": 1,
    "metric": "reconstruction-mse", "metrics": ["reconstruction-mse"], "progress": False, "warmup_steps": 0,
}  # fmt: skip
SPACE: dict[str, Any] = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
BOTH = {**SPACE, "vae": {"hidden": {"low": 8, "high": 16, "step": 8}}, "elbo": {"beta": {"low": 0.5, "high": 2}}}
FLAGS = (
    *("--profile", "smoke", "--images", "64", "--samples", "16", "--batch-size", "32", "--device", "cpu"),
    *("--threads", "1", "--metric", "reconstruction-mse", "--metrics", "reconstruction-mse", "--warmup-steps", "0"),
)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> genbench.Tuning:
    with forks.forked_children():
        out = tmp_path_factory.mktemp("tuned") / "t"
        return genbench.tune(
            ["vae", "works", "raises"], BOTH, trials=3, final_seeds=2, out=out,
            plugins=Path(FAULTS).with_name("tiny_plugin.py"), in_process=True, **TINY,
        )  # fmt: skip


def test_every_model_gets_the_same_trials_and_images_and_a_failure_is_a_trial(tuned: genbench.Tuning) -> None:
    studies = {study.model: study for study in tuned.record.studies}
    assert {study.images for study in studies.values()} == {3 * 64}
    assert all(len(study.trials) == 3 for study in studies.values())
    planned = RunDirectory.open(tuned.path / "trials").record.cells
    assert len(planned) == 9 and {cell.identity.recipe["images"] for cell in planned} == {64}
    assert {cell.identity.dataset.split for cell in planned} == {"validation"}
    for name in ("vae", "works"):
        assert [trial.status for trial in studies[name].trials] == ["ok"] * 3
        assert {trial.images for trial in studies[name].trials} == {64}
        assert [trial.seed for trial in studies[name].trials] == [0, 1, 2]
        values = [trial.value for trial in studies[name].trials]
        assert studies[name].best == values.index(min(values))  # type: ignore[type-var]
        assert studies[name].running_best[-1] == min(values)  # type: ignore[type-var]
        assert [point.trials for point in studies[name].curve] == [1, 2, 3]
    raises = studies["raises"]
    assert {trial.status for trial in raises.trials} == {"failed"}
    assert "no such" in raises.trials[0].reason
    assert raises.best is None and raises.running_best == [None] * 3 and raises.final is None
    assert not tuned.succeeded
    with pytest.raises(NoDataError, match="No trial of 'raises'"):
        tuned.best("raises")


def test_the_final_cells_have_the_best_settings_fresh_seeds_and_the_whole_data(tuned: genbench.Tuning) -> None:
    assert tuned.final is not None
    assert {cell.model for cell in tuned.final} == {"vae", "works"}
    assert {cell.identity.seed for cell in tuned.final} == {3, 4} == {*tuned.record.final_seeds}
    for cell in tuned.final:
        assert not cell.identity.dataset.split
        best = tuned.best(cell.model)
        assert cell.identity.recipe["learning_rate"] == best["learning_rate"]
        assert cell.identity.loss.options["beta"] == best["elbo.beta"]
    study = tuned.record.studies[0]
    values = [cell.result.estimates[0].value for cell in tuned.final if cell.model == "vae" and cell.result]
    assert study.final is not None and study.final.mean == pytest.approx(sum(values) / 2)
    hashes = {
        cell.result.comparability.data_hash
        for results in (tuned.final, genbench.load(tuned.path / "trials"))
        for cell in results
        if cell.result is not None and cell.result.comparability is not None
    }
    assert len(hashes) == 2  # values of trials and of final cells do not compare


def test_the_best_settings_are_plans_that_make_the_same_cells(tuned: genbench.Tuning) -> None:
    # The models share the loss and have other best values of its option, so one plan cannot state both.
    assert {path.name for path in tuned.path.glob("*.toml")} == {"best-vae.toml", "best-works.toml"}
    assert tuned.final is not None
    for model in ("vae", "works"):
        plan = genbench.plan(config=tuned.path / f"best-{model}.toml")
        assert {cell.id for cell in plan.cells} == {cell.id for cell in tuned.final if cell.model == model}
        assert make_request(read_config(tuned.path / f"best-{model}.toml")).models == (model,)


def test_what_is_written_matches_the_schema_and_is_shown(
    tuned: genbench.Tuning, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["schema", "tuning"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.validate(json.loads((tuned.path / "tuning.json").read_text()), schema)
    assert genbench.load_tuning(tuned.path).record == tuned.record
    text = tuned.text()
    assert "random search: 3 × 64 images for each model" in text
    assert "optimistic" in text and "independent" in text
    assert (tuned.path / "table.md").read_text() == tuned._repr_markdown_()
    assert invoke(["figure", str(tuned.path), "--kind", "tuning", "--out", str(tmp_path / "f.svg")]) == 0
    facts = (tmp_path / "f.txt").read_text()
    assert "raises: no trial has a value, not drawn" in facts and "Validation split: " in facts
    assert invoke(["figure", str(tuned.path / "final"), "--kind", "tuning", "--out", str(tmp_path / "f.svg")]) == 2
    assert "has no tuning.json" in capsys.readouterr().err
    assert invoke(["table", str(tuned.path / "final")]) == 0


def test_the_same_call_finds_everything_done_and_another_is_refused(tuned: genbench.Tuning) -> None:
    plugin = Path(FAULTS).with_name("tiny_plugin.py")
    same = {**TINY, "out": tuned.path, "final_seeds": 2, "plugins": plugin}
    before = {path: path.stat().st_mtime_ns for path in tuned.path.glob("*/cells/*.json") if "raises" not in path.name}
    again = genbench.tune(["vae", "works", "raises"], BOTH, trials=3, **same)
    assert again.record.studies == tuned.record.studies
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for changed, name in (({"trials": 4}, "trials"), ({"trials": 3, "learning_rate": 1.0}, "recipe")):
        with pytest.raises(UsageError, match=f"another value of {name}"):
            genbench.tune(["vae", "works", "raises"], BOTH, **{**same, **changed})


def test_ctrl_c_between_trials_loses_nothing(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("[2/3]") and ": ok in" in line:
            os.kill(os.getpid(), signal.SIGINT)

    request = {**TINY, "trials": 3, "final_seeds": 0}
    whole = genbench.tune("vae", SPACE, out=tmp_path / "whole", **request)
    with pytest.raises(genbench.RunInterrupted) as caught:
        genbench.tune("vae", SPACE, out=tmp_path / "t", **{**request, "progress": interrupt})
    assert f"genbench.tune(resume='{tmp_path}/t')" in str(caught.value)
    before = RunDirectory.open(tmp_path / "t" / "trials").read_cells().results
    assert len(before) == 2
    resumed = genbench.tune(resume=tmp_path / "t", progress=False)
    assert [trial.value for trial in resumed.record.studies[0].trials] == [
        trial.value for trial in whole.record.studies[0].trials
    ]
    assert resumed.final is None and resumed.record.finished
    after = RunDirectory.open(tmp_path / "t" / "trials").read_cells().results
    assert len(after) == 3 and all(after[id] == result for id, result in before.items())


def test_a_killed_tuning_goes_on_in_the_middle_of_a_trial(tmp_path: Path) -> None:
    space, marks, out = tmp_path / "space.toml", tmp_path / "marks", tmp_path / "t"
    space.write_text("learning_rate = { low = 1e-4, high = 1e-2, log = true }\n")
    marks.mkdir()
    flags = [*FLAGS, "--images", str(32 * 150), "--plugin", str(FAULTS), "--trials", "2", "--final-seeds", "0"]
    variables = {**os.environ, "FAULTS_MARKS": str(marks), "FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
    command = ["tune", "--models", "slow", "--search", str(space), *flags, "--out", str(out)]
    process = forks.start(command, variables)
    wait_until(lambda: (marks / "training").exists(), process)
    process.kill()
    process.communicate()
    assert read_tuning(out).studies == []  # not even the first trial had ended
    done = warm.command(*command, FAULTS_MARKS=str(marks), FAULTS_SLOW="")
    assert done.returncode == 0, done.stderr
    trials = read_tuning(out).studies[0].trials
    assert [trial.number for trial in trials] == [0, 1] and {trial.images for trial in trials} == {32 * 150}
    first = RunDirectory.open(out / "trials").read_cells().results[trials[0].cells[0]]
    assert first.provenance.resumed_at_step is not None and first.steps == 150


def test_halving_spends_the_same_images_for_each_model_and_prunes(tmp_path: Path) -> None:
    request = {**TINY, "images": 96, "trials": 3, "final_seeds": 0, "pruner": "halving", "in_process": True}
    made = genbench.tune("vae", SPACE, out=tmp_path / "t", **request)
    (study,) = made.record.studies
    assert made.record.rungs == [(32, 3), (96, 1)]
    assert study.images == sum(trial.images for trial in study.trials) == 3 * 32 + 96
    assert sorted(trial.status for trial in study.trials) == ["ok", "pruned", "pruned"]
    assert sorted(len(trial.cells) for trial in study.trials) == [1, 1, 2]
    assert not study.curve and "depend on each other" in made.text().lower()
    assert made.figure().to_bytes("svg")


def test_a_dry_run_states_budgets_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = tmp_path / "space.toml"
    space.write_text("learning_rate = { low = 1e-4, high = 1e-2, log = true }\n")
    flags = ["--models", "vae", "--search", str(space), *FLAGS, "--trials", "5", "--out", str(tmp_path / "t")]
    assert invoke(["tune", *flags, "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["images"] == 5 * 64 and data["models"][0]["rungs"] == [[64, 5]] and data["training_seconds"] > 0
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"search": None}, "There is no search space"),
        ({"search": {"learning_rat": {"low": 1, "high": 2}}}, "Did you mean 'learning_rate'"),
        ({"search": {"batch_size": {"choices": [32, 0]}}}, "out of range"),
        (
            {
                "search": {"augment_discriminator": {"choices": ["none", "ada"]}},
                "models": "began",
                "metric": "diversity",
            },
            "impossible at augment",
        ),
        ({"metric": "fd-fashon-cnn"}, "Unknown metric 'fd-fashon-cnn'. Did you mean"),
        ({"metric": "sharpness"}, "Unknown metric"),
        ({"models": ["gan", "vae"]}, "does not apply to 'gan'"),
        ({"sampler": "tpee"}, "Unknown sampler 'tpee'. Did you mean 'tpe'"),
        ({"pruner": "halvin"}, "Did you mean 'halving'"),
        ({"pruner": "halving", "sampler": "tpe"}, "nothing to learn from"),
        ({"trials": 0}, "--trials 0 is not"),
        ({"final_seeds": -1}, "--final-seeds -1 is not"),
        ({"patience": 3, "best_metric": "reconstruction-mse", "evaluate_every": 32}, "stop trials early"),
        ({"set": {"vae.images": 32}, "models": ["vae", "conv-vae"]}, "so that none wins by more training"),
        ({"losses": "elbo,mmd"}, "takes one value of losses"),
        ({"batch_size": [16, 32]}, "takes one value of batch-size"),
        ({"seeds": [1, 2]}, "tune chooses the training seeds"),
        ({"losses": "hinge"}, "vae × hinge: loss 'hinge' is adversarial"),
        ({"losses": "hinge", "models": ["gan", "vae"]}, "vae with hinge: loss 'hinge' is adversarial"),
    ],
)
def test_a_request_that_makes_no_fair_tuning_is_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        genbench.tune(**{"models": "vae", "search": SPACE, **TINY, "out": tmp_path / "t", **changed})
    assert not (tmp_path / "t").exists()


def test_without_optuna_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'genbench\[tune\]'"):
        genbench.tune("vae", SPACE, out=tmp_path / "t", **TINY)


def test_foreign_directories_are_refused_and_load_no_plugin(tmp_path: Path, tuned: genbench.Tuning) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    with pytest.raises(UsageError, match="not empty and is not a tuning"):
        genbench.tune("vae", SPACE, out=tmp_path / "full", **TINY)
    with pytest.raises(UsageError, match=r"has no tuning\.json"):
        genbench.tune(resume=tmp_path / "full")
    record = msgspec.json.decode((tuned.path / "tuning.json").read_bytes())
    (tmp_path / "full" / "tuning.json").write_text(json.dumps({**record, "trials": "many"}))
    with pytest.raises(UsageError, match=r"tuning\.json is damaged: .*trials"):
        genbench.tune(resume=tmp_path / "full")
    (tmp_path / "full" / "tuning.json").write_text(json.dumps({**record, "request": {"models": 3}}))
    with pytest.raises(UsageError, match="is damaged: request"):
        genbench.tune(resume=tmp_path / "full")
    (tmp_path / "full" / "tuning.json").write_text(json.dumps({**record, "schema_version": 99}))
    with pytest.raises(UsageError, match="newer genbench"):
        genbench.load_tuning(tmp_path / "full")


def test_names_cannot_act_on_the_terminal_or_on_markdown(tuned: genbench.Tuning, tmp_path: Path) -> None:
    text = (tuned.path / "tuning.json").read_text().replace('"vae"', '"<b>|\\u001b[2J"')
    (tmp_path / "tuning.json").write_text(text)
    hostile = genbench.load_tuning(tmp_path)
    assert "\x1b" not in hostile.text()
    assert "<b>" not in hostile._repr_markdown_() and "\x1b" not in hostile._repr_markdown_()
    assert hostile.figure().to_bytes("svg") and "\x1b" not in hostile.figure().caption


def test_a_trial_that_cannot_be_planned_is_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may be possible one by one and not together."""
    plan = TrialPlanner.trial_cell

    def refuse(self: TrialPlanner, tuned: TunedModel, point: Any, images: int, seed: int) -> Any:
        if seed == 1:
            raise UsageError("these settings do not go together.")
        return plan(self, tuned, point, images, seed)

    monkeypatch.setattr(TrialPlanner, "trial_cell", refuse)
    made = genbench.tune("vae", SPACE, trials=2, final_seeds=0, out=tmp_path / "t", **TINY)
    (study,) = made.record.studies
    assert [trial.status for trial in study.trials] == ["ok", "skipped"]
    assert study.trials[1].reason == "these settings do not go together." and study.running_best[1] is not None
    assert study.curve[0].expected is None  # one trial may be the one that fails
