"""Two revisions of a plugin, built and compared live, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import forks
import pytest
import warm
from command_line import wait_until_gone

from genbench.ab.arm import Arm, built, installed_arm
from genbench.ab.comparison import Comparing
from genbench.ab.reference import find_reference
from genbench.ab.session import ArmFailed, ArmWorker, Protocol, Session
from genbench.ab.start import forget
from genbench.ab.wire import Open, Prepare, Prepared
from genbench.errors import UsageError
from genbench.gate.sequential import LookSchedule
from genbench.system.processes import descendants

GIVEN = {"datasets": ["synthetic"], "batch_size": 4, "profile": "smoke", "metrics": "none", "threads": 1}
QUICK = Protocol(window_seconds=0.05, rounds=1, warmup_steps=3, control_rounds=5)

# A build backend without dependencies: it packs the one module, with its entry point.
BACKEND = """
import zipfile
NAME = "planted-1-py3-none-any.whl"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    info = "planted-1.dist-info/"
    with zipfile.ZipFile(f"{directory}/{NAME}", "w") as wheel:
        wheel.write("planted.py")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: planted\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "entry_points.txt", "[genbench]\\nplanted = planted\\n")
        wheel.writestr(info + "RECORD", "")
    return NAME
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "planted"
version = "1"
"""
PLUGIN = '''
"""A GAN with repeated discriminator layers."""
import genbench

def networks(image_shape, latent_dim, num_classes, options):
    import math
    from torch import nn
    size = math.prod(image_shape)
    wide = [layer for _ in range(LAYERS) for layer in (nn.Linear(400, 400), nn.LeakyReLU(0.2))]
    return {
        "generator": nn.Sequential(nn.Linear(latent_dim, size), nn.Tanh(), nn.Unflatten(1, tuple(image_shape))),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(size, 400), nn.LeakyReLU(0.2), *wide, nn.Linear(400, 1)),
    }

@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(
        name="planted",
        summary="for a test",
        family="adversarial",
        build=networks,
        default_loss="non-saturating",
        value_range=(-1, 1),
    )
'''


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Three commits: the plugin, one that changes only a comment (tag `comment`), one that is slower (tag `slower`)."""
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "backend.py").write_text(BACKEND)
    (root / "pyproject.toml").write_text(PROJECT)
    for tag, layers, remark in (("first", 1, "one"), ("comment", 1, "two"), ("slower", 150, "two")):
        (root / "planted.py").write_text(textwrap.dedent(PLUGIN).replace("LAYERS", str(layers)) + f"\n# {remark}\n")
        git(root, "add", ".")
        git(root, "commit", "-qm", tag)
        git(root, "tag", tag)
    return root


def worktrees(root: Path) -> int:
    listed = subprocess.run(["git", "-C", str(root), "worktree", "list"], check=True, capture_output=True, text=True)
    return len(listed.stdout.splitlines())


def command(*flags: str) -> list[str]:
    cell = ["--models", "planted", "--datasets", "synthetic", "--batch-size", "4", "--threads", "1"]
    return ["ab", "--base", "first", "--head", "comment", *cell, "--decide-by", "wall", *flags]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_comparison_leaves_its_evidence_and_nothing_else(
    repository: Path, tmp_path: Path, number: signal.Signals
) -> None:
    scratch, out = tmp_path / "scratch", tmp_path / "evidence"
    scratch.mkdir()
    process = forks.start(command("--out", str(out)), {**os.environ, "TMPDIR": str(scratch)}, repository)
    while not (line := process.stderr.readline()).startswith("[1/32]"):
        assert line, "the command exited early"
    workers = descendants(process.pid)
    assert workers
    process.send_signal(number)
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 130, complaints
    assert "inconclusive" in said
    assert json.loads((out / "comparison.json").read_text())["blocks"][0]["cells"]["planted"]["seconds"]
    assert {path.name for path in out.iterdir()} == {"comparison.json", "summary.md", "junit.xml"}
    assert worktrees(repository) == 1
    assert not list(scratch.glob("genbench-*"))
    wait_until_gone(workers)


@pytest.mark.slow
def test_a_full_disk_loses_the_measurements_but_not_the_verdict(repository: Path) -> None:
    flags = ["--out", "/dev/full/evidence", "--max-minutes", "0", "--quiet"]
    done = warm.command(*command(*flags), cwd=repository)
    assert done.returncode == 3, done.stderr
    assert "inconclusive" in done.stdout
    assert "cannot write the measurements" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("forked_children")
def test_a_planted_regression_is_found_and_no_files_are_left(repository: Path) -> None:
    base, head = find_reference("comment", repository), find_reference("slower", repository)
    question = Prepare(given={**GIVEN, "models": "planted"})
    with built(base, head) as arms:
        places = [arm.place.parent for arm in arms]
        session = Session(*arms, question, QUICK)
        surveyed = session.survey()
        assert surveyed.cells == ("planted",)
        comparing = Comparing(session, surveyed, 0.05, LookSchedule((3,), (0.02,)))
        comparing.run()
        (decision,) = comparing.decisions()
    assert decision.verdict == "regressed", decision
    assert decision.change is not None
    assert decision.change > 0.5  # it does many times as much work
    assert worktrees(repository) == 1
    assert not any(place.exists() for place in places)


def test_a_revision_that_does_not_build_is_reported_with_pips_output(repository: Path) -> None:
    (repository / "backend.py").write_text("raise SystemExit('no such compiler')")
    git(repository, "commit", "-qam", "broken")
    with (
        pytest.raises(UsageError, match=r"(?s)head main .*cannot be built.*no such compiler"),
        built(find_reference("first", repository), find_reference("main", repository)),
    ):
        pass
    assert worktrees(repository) == 1


@pytest.mark.slow
def test_building_a_directory_leaves_no_files_and_ignores_those_of_older_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "1")
    root = tmp_path / "mine"
    (root / "build" / "lib" / "mine").mkdir(parents=True)
    (root / "build" / "lib" / "mine" / "removed.py").touch()
    (root / "mine").mkdir()
    (root / "mine" / "__init__.py").touch()
    (root / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1"\n[tool.setuptools]\npackages = ["mine"]\n'
    )
    before = sorted(root.rglob("*"))
    side = find_reference(str(root), tmp_path)
    with built(side, side) as (arm, _):
        site = Path(arm.environment["PYTHONPATH"].partition(os.pathsep)[0])
        assert {path.name for path in (site / "mine").iterdir()} - {"__pycache__"} == {"__init__.py"}
    assert sorted(root.rglob("*")) == before


def test_a_folder_without_a_package_is_reported(repository: Path) -> None:
    side = find_reference("first", repository)
    with pytest.raises(UsageError, match=r"no pyproject.toml in 'plugins/mine'"), built(side, side, ["plugins/mine"]):
        pass


def test_an_arm_sees_its_own_code_and_nothing_of_this_process(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    with built(find_reference("first", repository), find_reference("slower", repository)) as (base, head):
        assert base.environment["PYTHONPATH"] != head.environment["PYTHONPATH"]
        assert "/somewhere/else" not in base.environment["PYTHONPATH"]
        for arm, layers in ((base, "range(1)"), (head, "range(150)")):
            site = arm.environment["PYTHONPATH"].split(os.pathsep)[0]
            assert layers in (Path(site) / "planted.py").read_text()


def test_a_version_without_live_workers_is_reported(tmp_path: Path) -> None:
    (tmp_path / "genbench").mkdir()
    (tmp_path / "genbench" / "__init__.py").write_text("")
    arm = Arm("base", "an old version", {**os.environ, "PYTHONPATH": str(tmp_path)}, tmp_path)
    with ArmWorker(arm) as worker, pytest.raises(ArmFailed, match="older than `genbench ab`"):
        worker.ask(Prepare(given={}))


def test_a_killed_worker_is_reported_with_its_arm(tmp_path: Path) -> None:
    with ArmWorker(installed_arm("head", tmp_path)) as worker:
        worker._process.kill()
        with pytest.raises(ArmFailed, match=r"head: its process was killed by SIGKILL"):
            worker.ask(Prepare(given={}))


@pytest.mark.slow
@pytest.mark.usefixtures("forked_children")
def test_a_cell_that_kills_its_worker_does_not_affect_other_cells(tmp_path: Path) -> None:
    plugin = tmp_path / "deadly.py"
    deadly = textwrap.dedent(PLUGIN).replace("LAYERS", "1").replace("planted", "deadly")
    plugin.write_text(deadly.replace("    import math\n", "    import math, os\n    os._exit(3)\n", 1))
    question = Prepare(given={**GIVEN, "models": "deadly,gan", "plugins": [str(plugin)]})
    arms = installed_arm("base", tmp_path), installed_arm("head", tmp_path)
    block = Session(*arms, question, QUICK).block(1, ["deadly", "gan"])
    assert [measured.cell for measured in block.measured] == ["gan"]
    assert list(block.failed) == ["deadly"]
    assert "exited with status 3" in block.failed["deadly"]


@pytest.mark.usefixtures("forked_children")
def test_output_of_a_plugin_does_not_mix_with_the_answers(tmp_path: Path) -> None:
    plugin = tmp_path / "loud.py"
    plugin.write_text("print('hello')\n" + textwrap.dedent(PLUGIN).replace("LAYERS", "1").replace("planted", "loud"))
    question = Prepare(given={**GIVEN, "models": "loud", "plugins": [str(plugin)]})
    with ArmWorker(installed_arm("head", tmp_path)) as worker:
        assert isinstance(worker.ask(question), Prepared)
        worker.ask(Open(cell="loud", warmup=1))


def test_an_editable_installation_does_not_add_modules_to_an_older_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "genbench").mkdir()
    module = types.ModuleType("__editable___finder")
    module.MAPPING = {"genbench": "/elsewhere/genbench", "other": "/elsewhere/other"}  # type: ignore[attr-defined]
    finder = type("Finder", (), {"__module__": module.__name__})()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    forget(tmp_path)
    assert module.MAPPING == {"other": "/elsewhere/other"}
