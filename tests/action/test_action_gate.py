"""The action's first step: from inputs to one command, without a shell; and its outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, stored

from genbench.cli import ab, check
from genbench.results.schema import Counters

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "action"))
import comment  # noqa: E402
import gate  # noqa: E402

HOSTILE = 'a"; touch pwned; $(touch pwned) `touch pwned` ${{ github.token }}'


def knowing(*answers: tuple[str, str]) -> gate.Git:
    """Return a git that answers commands that begin so, and fails at any other."""

    def git(*arguments: str) -> str | None:
        whole = " ".join(arguments)
        return next((said for command, said in answers if whole.startswith(command)), None)

    return git


REVISION = "rev-parse --verify --quiet --end-of-options"
PULL = {"pull_request": {"number": 7, "base": {"sha": "b" * 40}}}


def live(event: dict[str, Any] = PULL, git: gate.Git | None = None, **inputs: str) -> list[str]:
    return gate.command_of(gate.Inputs(**inputs), event, git or knowing((REVISION, "x")), Path("out"))


def test_a_pull_request_is_compared_with_the_first_parent_of_its_merge() -> None:
    merged = knowing(("rev-parse --verify --quiet HEAD^2", "x"), (f"{REVISION} HEAD^1", "x"))
    assert live(git=merged)[:3] == ["ab", "--base=HEAD^1", "--head=."]
    assert live()[1] == f"--base={'b' * 40}"  # the head alone is checked out


def test_a_push_is_compared_with_the_previous_revision() -> None:
    assert live({"before": "c" * 40})[1] == f"--base={'c' * 40}"
    for event in ({"before": "0" * 40}, {}):
        with pytest.raises(gate.InputError, match="set `base`"):
            live(event)


def test_a_base_that_a_shallow_checkout_lacks_is_found_or_fetched() -> None:
    assert live(git=knowing((f"{REVISION} origin/main", "x")), base="main")[1] == "--base=origin/main"
    fetched = knowing(("fetch --quiet --no-tags --depth=1 -- origin v1", ""), ("rev-parse FETCH_HEAD", "d" * 40 + "\n"))
    assert live(git=fetched, base="v1")[1] == f"--base={'d' * 40}"
    assert live(git=knowing(), base="nowhere")[1] == "--base=nowhere"  # genbench says what is wrong
    assert live(git=knowing(), base="./other")[1] == "--base=./other"


def test_commands_exist_in_genbench() -> None:
    inputs = {"models": "a,b", "max_slowdown": "5%", "max_minutes": "9", "packages": "plugins/a\nplugins/b"}
    command = live(**inputs, arguments="--set=a.width=8\n--batch-size=16")
    parsed = ab.command.make_context("ab", command[1:]).params
    assert (parsed["models"], parsed["packages"], parsed["batch_size"]) == ("a,b", ("plugins/a", "plugins/b"), 16)
    assert (parsed["settings"], parsed["max_minutes"]) == (("a.width=8",), 9.0)
    stored = gate.Inputs(run="results/x", baseline="base.json", config="gate.toml", max_slowdown="5%")
    parsed = check.command.make_context("check", gate.command_of(stored, {}, knowing(), Path("out"))[1:]).params
    assert (parsed["run"], parsed["baseline"], parsed["config"]) == ("results/x", "base.json", "gate.toml")
    assert (parsed["junit"], parsed["summary"]) == ("out/junit.xml", "out/summary.md")


def test_text_that_looks_like_shell_or_like_a_flag_stays_one_value() -> None:
    assert f"--models={HOSTILE}" in live(models=HOSTILE)
    parsed = ab.command.make_context("ab", live(models="--quiet", base="--head")[1:]).params
    assert (parsed["models"], parsed["base"], parsed["quiet"]) == ("--quiet", "--head", False)


def test_a_revision_that_looks_like_a_git_flag_is_rejected(tmp_path: Path) -> None:
    """git would run the program that --upload-pack names."""
    for command in (["init", "-q", "."], ["remote", "add", "origin", "."]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    code = "import sys; import gate; print(gate.found_base(sys.argv[1], gate.git))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "action")}
    given = "--upload-pack=touch pwned;"
    done = subprocess.run(
        [sys.executable, "-c", code, given], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == given, done.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_a_baseline_comes_from_another_branch(tmp_path: Path) -> None:
    inputs = gate.Inputs(run="r", baseline="base.json", baseline_branch="baselines")
    git = knowing(("fetch", ""), ("show FETCH_HEAD:base.json", '{"baseline_version": 1}'))
    command = gate.command_of(inputs, {}, git, tmp_path)
    (path,) = (part.removeprefix("--baseline=") for part in command if part.startswith("--baseline="))
    assert json.loads(Path(path).read_text()) == {"baseline_version": 1}
    with pytest.raises(gate.InputError, match=r"no base\.json on the branch baselines"):
        gate.command_of(inputs, {}, knowing(), tmp_path)
    with pytest.raises(gate.InputError, match="needs both"):
        gate.command_of(gate.Inputs(run="r"), {}, git, tmp_path)


def counted(**counters: float) -> Any:
    return changed(cell(), counters=Counters(**{"operations": 100.0, **counters}))


def run_gate(place: Path, **inputs: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str], str]:
    """Run the step as the runner does; return what it did, its outputs and the step summary."""
    files = {name: place / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for path in files.values():
        path.write_text("")
    environment = {**os.environ, **{name: str(path) for name, path in files.items()}, "RUNNER_TEMP": str(place)}
    environment.pop("GITHUB_EVENT_PATH", None)
    environment |= {f"GATE_{name.upper()}": value for name, value in inputs.items()}
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "action" / "gate.py")],
        env=environment,
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
    )
    outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    return done, outputs, files["GITHUB_STEP_SUMMARY"].read_text()


@pytest.mark.parametrize(
    ("operations", "verdict", "code"), [(100.0, "ok", "0"), (99.0, "ok", "0"), (101.0, "regressed", "1")]
)
def test_stored_results_end_in_outputs_summary_and_evidence(
    tmp_path: Path, operations: float, verdict: str, code: str
) -> None:
    stored(tmp_path / "base", counted())
    stored(tmp_path / "head", counted(operations=operations))
    update = ["baseline", "update", "base", "--baseline", "base.json", "--counters-only"]
    subprocess.run([sys.executable, "-m", "genbench", *update], cwd=tmp_path, check=True, capture_output=True)
    done, outputs, summary = run_gate(tmp_path, run="head", baseline="base.json", max_minutes="20")
    assert done.returncode == 0, done.stderr
    assert (outputs["verdict"], outputs["exit-code"]) == (verdict, code)
    assert f"genbench: {verdict}" in summary
    evidence = {path.name for path in Path(outputs["evidence"]).iterdir()}
    assert evidence == {"summary.md", "junit.xml", "findings.json"}


def test_the_evidence_distinguishes_improved_from_ok(tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text('{"verdict": "improved"}')
    assert [gate.verdict_of(code, tmp_path) for code in (0, 1, 9)] == ["improved", "regressed", "ended"]
    (tmp_path / "comparison.json").write_text("{")
    assert gate.verdict_of(0, tmp_path) == "ok"


def test_a_gate_that_cannot_start_does_not_pass_and_reports_it_everywhere(tmp_path: Path) -> None:
    for inputs in ({"run": "nowhere", "baseline": HOSTILE}, {"run": "nowhere"}, {"base": "", "models": HOSTILE}):
        done, outputs, summary = run_gate(tmp_path, **inputs)
        assert done.returncode == 0, done.stderr
        assert (outputs["verdict"], outputs["exit-code"]) == ("usage", "2")
        assert "exit code 2" in summary
    assert not list(tmp_path.rglob("pwned"))


# The comment


FAKE_GH = """#!{python}
import json, os, sys
given = "" if "--input" not in sys.argv else sys.stdin.read()
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([sys.argv[1:], given]) + "\\n")
if "user" in sys.argv:
    sys.exit("HTTP 403")
if "--paginate" in sys.argv:
    print(open(os.environ["COMMENTS"]).read(), end="")
elif os.environ.get("REFUSED"):
    sys.exit("gh: Resource not accessible by integration (HTTP 403)")
"""


def run_comment(
    place: Path, summary: str, comments: list[dict[str, Any]], refused: str = "", event: object = PULL
) -> tuple[str, list[Any]]:
    """Run the step with a gh that keeps what it was told; return what was printed, and what gh was told."""
    (place / "gh").write_text(FAKE_GH.format(python=sys.executable))
    (place / "gh").chmod(0o755)
    (place / "comments").write_text("".join(json.dumps(one) + "\n" for one in comments))
    (place / "event").write_text(json.dumps(event))
    (place / "summary.md").write_text(summary)
    calls = place / "calls"
    calls.write_text("")
    environment = {
        **os.environ,
        "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_EVENT_PATH": str(place / "event"),
        "GITHUB_REPOSITORY": "me/mine",
        "GITHUB_RUN_ID": "5",
        "GITHUB_SERVER_URL": "https://example.org",
        "GATE_EVIDENCE": str(place),
        "GATE_NAME": "speed",
        "CALLS": str(calls),
        "COMMENTS": str(place / "comments"),
        "REFUSED": refused,
    }
    script = [sys.executable, "-P", str(ROOT / "action" / "comment.py")]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, [json.loads(line) for line in calls.read_text().splitlines()]


def one_comment(id: int, body: str, login: str = comment.BOT) -> dict[str, Any]:
    return {"id": id, "body": body, "user": {"login": login}}


def test_the_first_comment_is_created_and_later_ones_update_it(tmp_path: Path) -> None:
    summary = f"### genbench: ok\n\n{HOSTILE}\n"
    others = [one_comment(1, "hello"), one_comment(2, comment.marker("speed"), "somebody")]
    _, calls = run_comment(tmp_path, summary, others)
    arguments, given = calls[-1]
    assert arguments[:4] == ["api", "--method", "POST", "repos/me/mine/issues/7/comments"]
    body = json.loads(given)["body"]
    assert body.startswith("<!-- genbench gate: speed -->\n### genbench: ok")
    assert HOSTILE in body
    assert body.endswith("(https://example.org/me/mine/actions/runs/5)\n")
    _, calls = run_comment(tmp_path, "new", [*others, one_comment(3, body)])
    arguments, given = calls[-1]
    assert arguments[:4] == ["api", "--method", "PATCH", "repos/me/mine/issues/comments/3"]
    assert "new" in json.loads(given)["body"]
    assert not list(tmp_path.rglob("pwned"))


def test_without_write_permission_there_is_a_notice_instead_of_a_comment(tmp_path: Path) -> None:
    said, _ = run_comment(tmp_path, "text", [], refused="yes")
    assert said.startswith("::notice title=genbench::No comment was written; the verdict is in the step summary.")
    assert "a pull request from a fork" in said


def test_a_push_has_no_comment(tmp_path: Path) -> None:
    said, calls = run_comment(tmp_path, "text", [], event={"before": "x"})
    assert (said, calls) == ("No pull request: no comment.\n", [])


def test_a_comment_respects_githubs_limit_and_its_marker_never_ends_early() -> None:
    body = comment.body("row\n" * 40_000, comment.marker("x"), "page")
    assert len(body) < 65_536
    assert "the full text is in the step summary" in body
    assert comment.marker("a --> <b>\n") == "<!-- genbench gate: a - -b -->"


def test_gates_with_different_names_have_separate_comments() -> None:
    listed = json.dumps(one_comment(4, f"{comment.marker('counters')}\ntext")) + "\n"
    assert comment.known(listed, comment.marker("speed"), comment.BOT) is None
    assert comment.known(listed, comment.marker("counters"), comment.BOT) == 4
