"""`genbench init`: a commented plan that runs, a gate on request, and questions on a terminal."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli.init import command
from genbench.commands.first_steps.new_plan import WORKFLOW, new_plan, questions
from genbench.errors import UsageError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request, read_config
from genbench.plugins.catalogue import discover


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_plan_is_read_as_it_was_asked_for() -> None:
    written = new_plan(models="dcgan,vae", losses=["hinge", "elbo"], seeds=[3, 4], profile="smoke")
    plan = make_plan(make_request(read_config(str(written.plan))), discover(), "cpu")
    assert {(cell.identity.model.name, cell.identity.loss.name, cell.identity.seed) for cell in plan.possible} == {
        *(("dcgan", "hinge", seed) for seed in (3, 4)),
        *(("vae", "elbo", seed) for seed in (3, 4)),
    }
    assert plan.profile.name == "smoke"
    assert written.cells == 4
    assert "genbench run --config plan.toml --dry-run" in str(written)


def test_every_setting_in_a_comment_is_one() -> None:
    text = new_plan(models="dcgan").plan.read_text()
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines()[2:])
    config = tomllib.loads(uncommented)
    request = make_request(config)
    assert {"batch_size", "evaluate_every"} <= request.recipe.keys()
    assert request.precision == ("bf16",)
    assert [*request.variants] == ["averaged"]


def test_the_gate_names_the_models_and_nothing_is_overwritten() -> None:
    assert CliRunner().invoke(command, ["--models", "gan", "--gate"]).exit_code == 0
    assert "models: gan\n" in WORKFLOW.read_text()
    before = Path("plan.toml").read_text()
    with pytest.raises(UsageError, match=r"plan\.toml exists"):
        new_plan(models="vae")
    assert Path("plan.toml").read_text() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"models": "dcgann"}, "Did you mean 'dcgan'"),
        ({"models": "gan", "losses": "elbo"}, "The requested cell is not possible"),
        ({"datasets": "folder:nowhere"}, "does not exist"),
        ({"profile": "quik"}, "Did you mean 'quick'"),
    ],
)
def test_a_plan_that_cannot_run_is_not_written(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        new_plan(**given)  # type: ignore[arg-type]
    assert not Path("plan.toml").exists()


def test_the_defaults_of_the_questions_are_a_plan() -> None:
    defaults = {name: default for name, (_, default) in questions().items()}
    assert new_plan(**defaults).cells == 9  # type: ignore[arg-type]
