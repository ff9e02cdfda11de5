"""Functions and commands give the same results, on one tiny run; what is refused, and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import warm
from command_line import TINY
from example_runs import cell, stored

import genbench
from genbench.cli import invoke
from genbench.commands.execution import Output
from genbench.report.progress import SilentDisplay
from genbench.results.schema import CellResult
from genbench.results.store import RunDirectory

SMALL = ("--set", "gan.width=8", "--set", "vae.hidden=16")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = ("--models", "gan,vae", *SMALL, "--seeds", "0,1,2", "--metrics", "fd", "--quiet")
    done = warm.run(*TINY, *chosen, out=tmp_path_factory.mktemp("runs") / "run")
    assert done.code == 0, done.err
    return done.run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = invoke(list(arguments))
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "call"),
    [
        (["compare", "RUN"], lambda run: genbench.load(run).compare()),
        (["compare", "RUN", "--metric", "all"], lambda run: genbench.load(run).compare("all")),
        (["compare", "RUN", "RUN", "--limit", "2%"], lambda run: genbench.compare(run, run, limit=0.02)),
        (["power", "RUN", "--detect", "5%"], lambda run: genbench.load(run).power(0.05)),
        (
            ["power", "RUN", "--detect", "10%", "--models", "gan,vae", "--power", "90%"],
            lambda run: genbench.load(run).power("10%", models=["gan", "vae"], power=0.9),
        ),
        (["history", "RUN"], lambda run: genbench.load(run).history()),
        (["history", "RUN", "--quantity", "fd-fashion-cnn"], lambda run: genbench.load(run).history("fd-fashion-cnn")),
        (["show", "RUN"], lambda run: genbench.load(run).details()),
        (["list", "models"], lambda run: genbench.catalogue("models")),
        (["list"], lambda run: genbench.catalogue()),
        (["plugin", "list"], lambda run: genbench.installed_plugins()),
    ],
)
def test_text_and_json_of_a_function_are_those_of_the_command(
    trained: Path, capsys: pytest.CaptureFixture[str], flags: list[str], call: Callable[[Path], Any]
) -> None:
    arguments = [str(trained) if flag == "RUN" else flag for flag in flags]
    found = call(trained)
    assert printed(capsys, *arguments)[1] == str(found)
    assert json.loads(printed(capsys, *arguments, "--json")[1]) == json.loads(found.to_json())


def test_a_baseline_is_written_and_checked_the_same(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    results = genbench.load(trained)
    update = results.update_baseline(one)
    code, out = printed(capsys, "baseline", "update", str(trained), "--baseline", str(other))
    assert (code, out) == (0, f"{update}\n".replace(str(one), str(other)))
    assert one.read_bytes() == other.read_bytes()
    found = results.check(one, max_slowdown="5%")
    flags = ("check", str(trained), "--baseline", str(one), "--max-slowdown", "5%")
    code, out = printed(capsys, *flags)
    assert (code, out) == (found.verdict.exit_code, str(found))
    assert printed(capsys, *flags, "--all")[1] == found.text(everything=True) != out
    assert json.loads(printed(capsys, *flags, "--json")[1]) == json.loads(found.to_json())
    gans = results.where(model="gan").check(one)
    assert {finding.reason for finding in gans.findings if finding.cell.startswith("vae")} == {
        "missing: only in the base"
    }


def test_samples_are_those_of_the_command(trained: Path, tmp_path: Path) -> None:
    results = genbench.load(trained)
    part = results.where(model="vae", seed=1).cells[0]
    for flags, arguments in (
        (("-n", "5", "--seed", "7"), {"count": 5, "seed": 7}),
        (("--interpolate", "3:8", "--steps", "4"), {"interpolate": (3, 8), "steps": 4}),
    ):
        out = tmp_path / f"{len(flags[0])}.npz"
        assert invoke(["sample", str(trained), "--cell", part.id, *flags, "--out", str(out)]) == 0
        drawn = genbench.sample(part, **arguments)  # type: ignore[arg-type]
        with np.load(out) as file:
            assert np.array_equal(file["images"], drawn.images)
    assert drawn.images.shape == (4, 28, 28, 1)
    assert drawn.path is None
    assert drawn.save(tmp_path / "way.gif").exists()


def measured(run: Path) -> dict[str, CellResult]:
    """Return the results without the times at which they were measured."""
    found = RunDirectory(run).read_cells().results
    return {
        id: msgspec.structs.replace(
            one, measured_later=[msgspec.structs.replace(later, measured="") for later in one.measured_later]
        )
        for id, one in found.items()
    }


@pytest.mark.usefixtures("forked_children")
def test_a_run_is_measured_the_same(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    part = genbench.load(run).where(model="vae", seed=0).cells[0].id
    done = warm.command("measure", str(other), "--metrics", "kd", "--cell", part)
    lines: list[str] = []
    results = genbench.measure_run(run, ["kd"], cell=part, progress=lines.append)
    assert done.returncode == 0, done.stderr
    assert results.problems == ()
    assert any("measuring kd-fashion-cnn" in line for line in lines)
    assert measured(run) == measured(other)
    assert done.stdout == str(results)
    assert results.cell(part).estimate("kd-fashion-cnn").n > 0


@pytest.mark.usefixtures("forked_children")
def test_measuring_shows_what_each_cell_does(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Recording(SilentDisplay):
        def cell_activity(self, cell: str, text: str) -> None:
            shown.append(text)

    monkeypatch.setattr("genbench.commands.measure.choose_output", lambda *_: (Output(Recording(), print), []))
    genbench.measure_run(run, "kd", cell=genbench.load(run).where(model="gan", seed=0).cells[0].id)
    of_cell = [text for text in shown if text.startswith("[1/1] gan · non-saturating")]
    assert any("generating samples" in text for text in of_cell)
    assert any("measuring metrics" in text or "features" in text for text in of_cell)


@pytest.mark.usefixtures("forked_children")
def test_a_cell_without_weights_is_a_problem_to_measure_and_an_error_to_sample(run: Path) -> None:
    first = genbench.load(run).cells[0]
    RunDirectory(run).checkpoint_path(first.id).unlink()
    results = genbench.measure_run(run, "kd", cell=first.id, progress=False)
    (problem,) = results.problems
    assert "it has no weights; its status is 'ok'" in problem
    with pytest.raises(genbench.GenbenchError, match="has no weights"):
        genbench.sample(first)


@pytest.mark.usefixtures("forked_children")
def test_what_is_refused_has_the_nearest_name(trained: Path, tmp_path: Path) -> None:
    results = genbench.load(trained)
    for call, said in (
        (lambda: results.compare("fd-fashion-cn"), "Did you mean 'fd-fashion-cnn'"),
        (lambda: results.power("5%", models="gun"), "gan"),
        (lambda: results.history("througput"), "Did you mean 'throughput'"),
        (lambda: results.details("vea"), "Did you mean 'vae'"),
        (lambda: genbench.load(trained, trained).check("b.json"), "2 runs cannot be checked at once"),
        (lambda: genbench.load(trained, trained).details(), "2 runs cannot be shown together"),
        (lambda: results.check(tmp_path / "none.json"), "none.json cannot be read"),
        (lambda: genbench.compare(trained, tmp_path / "none"), "does not exist"),
        (lambda: genbench.catalogue("modles"), "Did you mean 'models'"),
        (lambda: genbench.json_schema("cel"), "Did you mean 'cell'"),
        (lambda: genbench.check_machine(only="clok"), "Did you mean 'clock'"),
        (lambda: genbench.check_plugin("gan", only="laods"), "Did you mean 'loads'"),
        (lambda: genbench.new_plugin("mine", "modle"), "Did you mean 'model'"),
        (lambda: genbench.describe_plugin("dcgna"), "Did you mean 'dcgan'"),
        (lambda: genbench.measure_run(trained, "kx", progress=False), "Unknown metric 'kx'"),
        (lambda: genbench.sample("vae"), "The run of the cell 'vae' is not given"),
        (lambda: genbench.sample("vae", run=trained, count=0), "count = 0 is not valid"),
        (lambda: genbench.certify_extractor("fashion-cn"), "Did you mean 'fashion-cnn'"),
        (lambda: genbench.check_runs(trained, cells=0), "cells = 0 is not valid"),
        (lambda: genbench.check_images("fashion-mnist-mni"), "Did you mean 'fashion-mnist-mini'"),
    ):
        with pytest.raises(genbench.GenbenchError) as refused:
            call()
        assert said in str(refused.value)


def test_an_empty_and_a_damaged_run(tmp_path: Path) -> None:
    path = stored(tmp_path / "run", cell("gan-1"), cell("vae-1")).path
    (path / "cells" / "vae-1.json").write_text("{")
    results = genbench.load(path)
    assert "Damaged files" in str(results.details())
    assert [sample.cell for group in results.compare().groups for sample in group.samples] == [
        sample.cell for group in results.where(model="gan").compare().groups for sample in group.samples
    ]
    (path / "cells" / "gan-1.json").unlink()
    for call in (
        lambda: genbench.load(path).compare(),
        lambda: genbench.load(path).power("5%"),
        lambda: genbench.load(path).history(),
        lambda: genbench.load(path).update_baseline(tmp_path / "b.json"),
        lambda: results.where(status="diverged").compare(),
    ):
        with pytest.raises(genbench.GenbenchError) as refused:
            call()
        assert refused.value.exit_code == 5
