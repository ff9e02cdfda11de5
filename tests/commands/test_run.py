"""`genbench.run`, `resume` and `plan`: the command as functions, in the process of a notebook or a test."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import genbench
from genbench.cli import invoke
from genbench.commands.arguments import request_of
from genbench.commands.plan import CellPlan, Cost, Plan
from genbench.errors import UsageError
from genbench.planning.request import make_request

pytestmark = pytest.mark.usefixtures("forked_children")

TINY: dict[str, Any] = {
    "profile": "smoke", "images": 64, "samples": 16, "metrics": [], "device": "cpu", "threads": 1,
}  # fmt: skip
PLUGIN = """
import genbench

def build(**settings):
    raise RuntimeError("no networks today")

@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(name="absent", family="adversarial", build=build, default_loss="hinge")
"""


def test_arguments_mean_what_flags_mean() -> None:
    given = request_of(
        {
            "models": ("dcgan", "vae"), "seeds": range(3), "metrics": [], "target": {"fd-fashion-cnn": 40},
            "set": {"dcgan.width": 32, "elbo": {"likelihood": "gaussian"}}, "batch_size": 16, "losses": None,
            "variants": {"averaged": {"ema_half_life": 1000.0}}, "out": Path("here"),
        }
    )  # fmt: skip
    flags = make_request(
        {
            "models": "dcgan,vae", "seeds": "0,1,2", "metrics": "none", "target": ["fd-fashion-cnn=40"],
            "batch_size": 16, "variants": {"averaged": {"ema_half_life": 1000.0}}, "out": "here",
        },
        ["dcgan.width=32", "elbo.likelihood=gaussian"],
    )  # fmt: skip
    assert given == flags


def test_a_plan_file_is_overridden_by_arguments(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('models = ["gan"]\nbatch_size = 16\n')
    assert request_of({"config": plan, "batch_size": 32}) == make_request({"models": "gan", "batch_size": 32})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modles": ["gan"]}, "Unknown key 'modles'. Did you mean 'models'"),
        ({"models": ["dcgn"]}, "Unknown model 'dcgn'. Did you mean 'dcgan'"),
        ({"set": {"width": 32}}, r'Write \{"dcgan.width": 32\}'),
        ({"device": "cpuu"}, "Unknown device 'cpuu'"),
        ({"plugins": [types.ModuleType("made")]}, "has no file of its own"),
        ({"plugins": [object()]}, "neither a file nor a module"),
    ],
)
def test_an_invalid_request_is_refused_with_a_remedy(arguments: dict[str, Any], message: str) -> None:
    for function in (genbench.plan, genbench.run):
        with pytest.raises(UsageError, match=message):
            function(**arguments)


def test_a_plan_names_cells_and_reasons_without_importing_torch() -> None:
    made = genbench.plan(models=["gan", "vae"], losses="hinge", seeds=[0, 1], **TINY, progress=False)
    assert [(cell.identity.model.name, cell.identity.seed, cell.possible) for cell in made.cells] == [
        ("gan", 0, True), ("gan", 1, True), ("vae", 0, False), ("vae", 1, False),
    ]  # fmt: skip
    assert "hinge" in made.cells[2].reason and made.seconds is None and made.cells[0].cost is None
    assert str(made).endswith("2 of 4 cells would run under profile 'smoke' on cpu.\nmetrics: none\n")
    program = """
import sys, genbench
made = genbench.plan(models=["gan"], device="cpu")
made.text(), made.to_json(), made._repr_html_(), made._repr_markdown_()
print({"torch", "numpy"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr


def test_what_a_notebook_shows_of_a_plan_is_escaped() -> None:
    identity = genbench.plan(models=["gan"], device="cpu").cells[0].identity
    made = Plan((CellPlan("id", "<b>|", identity, reason="<i>", cost=Cost(note="")),), "quick", "cpu")
    assert "&lt;b&gt;" in made._repr_html_() and "<b>" not in made._repr_html_()
    assert r"&lt;b&gt;\|" in made._repr_markdown_()


def test_a_run_returns_its_results_and_is_resumed_after_ctrl_c(tmp_path: Path) -> None:
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if ": ok in" in line:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    plugin = tmp_path / "absent.py"
    plugin.write_text(PLUGIN)
    spec = importlib.util.spec_from_file_location("absent", plugin)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    request = {"models": ["gan", "vae", "absent"], "set": {"gan.width": 8}, "plugins": [module], **TINY}
    with pytest.raises(KeyboardInterrupt) as caught:
        genbench.run(**request, out=tmp_path / "run", progress=interrupt)
    assert isinstance(caught.value, genbench.RunInterrupted)
    assert caught.value.path == tmp_path / "run"
    assert f"genbench.resume('{tmp_path}/run')" in str(caught.value)
    assert signal.getsignal(signal.SIGINT) is handler
    assert lines[0] == f"3 cells -> {tmp_path}/run"
    before = genbench.load(caught.value.path)
    assert [cell.status for cell in before] == ["ok", "not run", "not run"]

    results = genbench.resume(caught.value.path, progress=False)
    assert [cell.status for cell in results] == ["ok", "ok", "failed"]
    assert "no networks today" in results.cell("absent").reason
    assert not results.succeeded and results.where(status="ok").succeeded
    assert results.cells[0].provenance == before.cells[0].provenance  # not repeated
    assert results.cell("gan").weights["weights"].exists()
    record = results.runs[0].record
    assert record.command[0].startswith("genbench.run(models=['gan', 'vae', 'absent'], ")
    assert (tmp_path / "run" / "report.html").exists()
    with pytest.raises(UsageError, match="already contains a run"):
        genbench.run(models="gan", **TINY, out=tmp_path / "run", progress=False)


@pytest.mark.slow
def test_a_run_has_the_cells_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = genbench.run(models="gan", seeds=[0, 1], **TINY, out=tmp_path / "python", progress=False)
    flags = ["--profile", "smoke", "--images", "64", "--samples", "16", "--metrics", "", "--device", "cpu"]
    command = ["run", "--models", "gan", "--seeds", "0,1", *flags, "--threads", "1", "--out", str(tmp_path / "command")]
    assert invoke(command) == 0
    capsys.readouterr()
    assert [cell.id for cell in results] == [cell.id for cell in genbench.load(tmp_path / "command")]
    curves = [[cell.curves for cell in genbench.load(tmp_path / name)] for name in ("python", "command")]
    assert curves[0] == curves[1]


@pytest.mark.slow
def test_costs_are_those_of_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    made = genbench.plan(models=["gan"], cost=True, **TINY)
    cost = made.cells[0].cost
    assert cost is not None and cost.seconds and cost.parameters and cost.steps == 2
    assert invoke(["run", "--models", "gan", "--profile", "smoke", "--images", "64", "--dry-run", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["cells"]
    assert row["parameters"] == cost.parameters
    assert json.loads(made.to_json())["cells"][0].keys() == row.keys()
