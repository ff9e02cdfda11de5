"""The action, the workflows and the examples follow the published schemas and interpolate nothing into a shell."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "docs" / "examples" / name for name in ("github-gate.yml", "board-check.yml")]
WORKFLOWS = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), *EXAMPLES]
FILES = {
    ROOT / "action.yml": "vendor.github-actions",
    **dict.fromkeys(WORKFLOWS, "vendor.github-workflows"),
    ROOT / "docs" / "examples" / "gitlab-ci.yml": "vendor.gitlab-ci",
}


@pytest.fixture(scope="module")
def linter() -> list[str]:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.fail('check-jsonschema is missing: pip install -c constraints.txt -e ".[dev]"', pytrace=False)
    return [sys.executable, "-m", "check_jsonschema"]


def load(path: Path) -> Any:
    from ruamel.yaml import YAML  # comes with check-jsonschema

    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_published_schema_is_kept(path: Path, linter: list[str]) -> None:
    done = subprocess.run(
        [*linter, "--builtin-schema", FILES[path], str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_schema_violation_is_detected(tmp_path: Path, linter: list[str]) -> None:
    broken = tmp_path / "action.yml"
    broken.write_text((ROOT / "action.yml").read_text().replace("using: composite", "using: nothing-known"))
    done = subprocess.run([*linter, "--builtin-schema", "vendor.github-actions", str(broken)], capture_output=True)
    assert done.returncode == 1


def steps(document: Any) -> Iterator[dict[str, Any]]:
    yield from document.get("runs", {}).get("steps", [])
    for job in document.get("jobs", {}).values():
        yield from job.get("steps", [])


@pytest.mark.parametrize("path", [ROOT / "action.yml", *WORKFLOWS], ids=lambda path: path.name)
def test_no_expression_is_pasted_into_a_script(path: Path) -> None:
    found = list(steps(load(path)))
    assert found
    assert not [step for step in found if "${{" in step.get("run", "")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_gives_a_token_to_code_from_a_fork_or_more_than_a_job_needs(path: Path) -> None:
    document = load(path)
    triggers = document.get("on", document.get(True))
    assert "pull_request_target" not in triggers
    assert document["permissions"]["contents"] == "read"


def test_every_input_reaches_the_scripts_and_every_variable_is_an_input() -> None:
    action = load(ROOT / "action.yml")
    used = " ".join(str(value) for step in steps(action) for value in {**step, **step.get("env", {})}.values())
    assert [name for name in action["inputs"] if f"inputs.{name} " not in used] == []
    (measure,) = (step for step in steps(action) if step.get("id") == "measure")
    sys.path.insert(0, str(ROOT / "action"))
    try:
        from gate import Inputs
    finally:
        sys.path.pop(0)
    assert {f"GATE_{name.upper()}" for name in Inputs.__dataclass_fields__} == measure["env"].keys()


def test_the_repository_uses_its_own_action_on_counters_and_on_speed() -> None:
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    own = {name: step["with"] for name, job in jobs.items() for step in job["steps"] if step.get("uses") == "./"}
    assert own.keys() == {"counters", "speed"}
    known = load(ROOT / "action.yml")["inputs"].keys()
    assert all(inputs.keys() <= known for inputs in own.values())
    assert (ROOT / own["counters"]["baseline"]).is_file()
    assert any(step.get("run") == ".ci/run" for step in jobs["test"]["steps"])


def test_the_check_of_submitted_runs_names_what_a_pull_request_adds(tmp_path: Path) -> None:
    """The script of the example runs on a repository whose branch adds a run with a space, an archive and a text."""
    repository = tmp_path / "repository"
    kept = repository / "results" / "submitted" / "old" / "run.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")

    def git(*arguments: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *author, *arguments], cwd=repository, check=True, capture_output=True)

    git("init", "-b", "main")
    git("add", "-A")
    git("commit", "-m", "base")
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    added = repository / "results" / "submitted" / "my run; true"
    (added / "cells").mkdir(parents=True)
    (added / "run.json").write_text("{}")
    (added / "cells" / "a.json").write_text("{}")
    (added.parent / "packed.zip").write_text("")
    (added.parent / "README.md").write_text("")
    git("add", "-A")
    git("commit", "-m", "submission")
    (script,) = (step for step in steps(load(EXAMPLES[1])) if "env" in step)
    assert script["env"] == {"BASE": "origin/${{ github.base_ref }}"}
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "genbench").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$CALLED"\n')
    (programs / "genbench").chmod(0o755)
    called = tmp_path / "called"
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "CALLED": str(called)}
    shell = ["bash", "-eo", "pipefail", "-c", script["run"]]
    for base, expected in (("origin/main", True), ("HEAD", False)):
        subprocess.run(shell, cwd=repository, env={**environment, "BASE": base}, check=True, capture_output=True)
        assert called.exists() == expected
        if expected:
            first, flag, *runs, option, file = called.read_text().splitlines()
            assert (first, flag, option, file) == ("board", "--check", "--checks", "checks.json")
            assert sorted(runs) == ["results/submitted/my run; true", "results/submitted/packed.zip"]
            called.unlink()
