"""`genbench check`: a plugin change that alters counters fails the check, and the counter is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import warm
from command_line import GENBENCH
from example_runs import cell, changed, estimate, identity, stored
from junit_document import outcomes

from genbench.cli import invoke
from genbench.results.baseline import read_baseline
from genbench.results.schema import Counters
from genbench.results.store import RunDirectory

PLUGIN = Path(__file__).parents[1] / "support" / "gated_plugin.py"
SMALL = ("--profile", "smoke", "--images", "64", "--samples", "16", "--metrics", "none", "--device", "cpu", "--quiet")

# The fault of each model in gated_plugin.py, and the counter that must reveal it.
FAULTS = {
    "extra-forward": "flops_per_image",
    "item": "host_reads",
    "unfrozen": "flops_per_image",
    "contiguous": "strided_convolutions",
    "doubled-layer": "parameters",
}


def run_models(plugin: str, out: Path) -> Path:
    """Run all models of a version of the plugin."""
    out.parent.mkdir()
    path = out.parent / PLUGIN.name
    path.write_text(plugin, encoding="utf-8")
    models = ("--models", ",".join(FAULTS), "--plugin", str(path), "--threads", "1", "--out", str(out))
    done = warm.command("run", "--in-process", *SMALL, *models)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs of the correct plugin, and one of the plugin with its faults."""
    place, sound = tmp_path_factory.mktemp("runs"), PLUGIN.read_text(encoding="utf-8")
    faulty = sound.replace("FAULTY = False", "FAULTY = True")
    assert faulty != sound
    texts = {"sound": sound, "again": f"{sound}\n# a comment more\n", "faulty": faulty}
    return {name: run_models(text, place / name / "run") for name, text in texts.items()}


@pytest.fixture(scope="module")
def baseline(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "baseline.json"
    assert invoke(["baseline", "update", str(runs["sound"]), "--baseline", str(path), "--counters-only"]) == 0
    return path


def only(run: Path, model: str, place: Path) -> Path:
    """Copy the cells of one model from a run."""
    directory = RunDirectory(run)
    record = directory.record
    copied = RunDirectory.create(
        place, msgspec.structs.replace(record, cells=[c for c in record.cells if c.identity.model.name == model])
    )
    for found in directory.read_cells().results.values():
        if found.identity.model.name == model:
            copied.write_cell(found)
    return place


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_regresses_and_its_counter_is_named(
    fault: str, runs: dict[str, Path], baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "baseline.json"
    arguments = ["baseline", "update", str(only(runs["sound"], fault, tmp_path / "base")), "--baseline", str(small)]
    assert invoke(arguments) == 0
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    given = [str(only(runs["faulty"], fault, tmp_path / "head")), "--baseline", str(small)]
    assert invoke(["check", *given, "--junit", str(junit), "--summary", str(summary)]) == 1
    text = capsys.readouterr().out
    (row,) = (line for line in text.splitlines() if f" {FAULTS[fault]} " in line)
    assert row.startswith(f"{fault} · non-saturating")
    assert row.endswith("regressed")
    assert text.endswith("Verdict: regressed\n")
    assert f"| {FAULTS[fault]} " in summary.read_text()
    assert outcomes(junit.read_text()) == {f"{fault} · non-saturating · fashion-mnist-mini": "failure"}
    assert FAULTS[fault] in junit.read_text()


def test_a_change_without_effect_passes(
    runs: dict[str, Path], baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "junit.xml"
    assert invoke(["check", str(runs["again"]), "--baseline", str(baseline), "--junit", str(junit), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["exit_code"]) == ("ok", 0)
    counters = [finding for finding in document["findings"] if finding["kind"] == "counter"]
    assert len(counters) == 8 * len(FAULTS)
    assert all(finding["base"] == finding["head"] for finding in counters)
    assert set(outcomes(junit.read_text()).values()) == {"passed"}


def test_the_baseline_of_counters_depends_only_on_torch(runs: dict[str, Path], baseline: Path) -> None:
    kept = read_baseline(baseline)
    assert len(kept.cells) == len(FAULTS)
    for one in kept.cells.values():
        assert one.machine.keys() == {"torch"}
        assert (one.speeds, one.metrics) == ([], {})
    before = baseline.read_bytes()
    again = ["baseline", "update", str(runs["again"]), "--baseline", str(baseline), "--counters-only"]
    assert invoke(again) == 0
    assert baseline.read_bytes() == before  # meant to be committed: the same counters give the same file


# Explanations of the verdict, on stored cells


def counted(operations: float = 100.0, **changes: Any) -> Any:
    return changed(cell(**changes), counters=Counters(operations=operations))


def check(tmp_path: Path, *options: str, head: Any, base: Any = None) -> int:
    stored(tmp_path / "base", base or counted())
    stored(tmp_path / "head", head)
    baseline = str(tmp_path / "baseline.json")
    assert invoke(["baseline", "update", str(tmp_path / "base"), "--baseline", baseline]) == 0
    return invoke(["check", str(tmp_path / "head"), "--baseline", baseline, *options])


def test_another_torch_is_named_where_counters_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = counted(101.0)
    newer = msgspec.structs.replace(head.comparability, torch="9.9")
    assert check(tmp_path, head=changed(head, comparability=newer)) == 4
    assert "counted under different versions: torch is 2.15 in base, 9.9 in head" in capsys.readouterr().out


def test_limits_come_from_the_file_and_a_flag_overrides_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = tmp_path / "gate.toml"
    limits.write_text('[gate]\nmax-slowdown = "5%"\n[gate.counters]\noperations = "2%"\n[gate.metrics]\nfd-cnn = 1.0\n')
    head = counted(101.0, estimates=[estimate("fd-cnn", 60.0, 0.6543)])
    assert check(tmp_path, "--config", str(limits), "--json", head=head) == 1
    document = json.loads(capsys.readouterr().out.partition("\n")[2])
    verdicts = {finding["quantity"]: finding["verdict"] for finding in document["findings"]}
    assert verdicts.items() >= {"operations": "ok", "throughput": "inconclusive", "fd-cnn": "regressed"}.items()
    given = [str(tmp_path / "head"), "--baseline", str(tmp_path / "baseline.json"), "--config", str(limits), "--json"]
    assert invoke(["check", *given, "--max-slowdown", "7%"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["limit"] for finding in findings if finding["quantity"] == "throughput"] == ["7 %"]


def test_a_cell_that_is_gone_failed_or_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = [counted(), changed(counted(id="vae-1"), identity=identity("vae"))]
    stored(tmp_path / "base", *base)
    stored(tmp_path / "head", changed(counted(), status="failed"), changed(counted(id="dcgan-1")))
    baseline, junit = str(tmp_path / "baseline.json"), tmp_path / "junit.xml"
    assert invoke(["baseline", "update", str(tmp_path / "base"), "--baseline", baseline]) == 0
    assert invoke(["check", str(tmp_path / "head"), "--baseline", baseline, "--junit", str(junit)]) == 5
    text = capsys.readouterr().out
    assert "missing: only in the base" in text
    assert "not measured: seed 0: failed" in text
    found = {name.split(" · ")[0]: what for name, what in outcomes(junit.read_text()).items()}
    assert found == {"gan": "error", "vae": "error", "dcgan": "skipped"}


def test_a_closed_pipe_does_not_change_the_exit_code(runs: dict[str, Path], baseline: Path) -> None:
    command = [*GENBENCH, "check", str(runs["faulty"]), "--baseline", str(baseline)]
    script = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); p.stdout.close()"
    done = subprocess.run([sys.executable, "-c", f"{script}; sys.exit(p.wait())", *command], timeout=60)
    assert done.returncode == 1
