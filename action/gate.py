"""Step "measure" of the GitHub Action: run the gate, and leave verdict, summary, JUnit and evidence behind.

Every input arrives as a variable of the environment and leaves as one argument of a process: no text of a workflow or
of a pull request is ever read by a shell. The exit code of genbench is an output of this step and not its own, so that
evidence is uploaded and commented on before the job fails; the step "conclude" gives it back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERDICTS = {0: "ok", 1: "regressed", 2: "usage", 3: "inconclusive", 4: "not-comparable", 5: "no-data", 70: "bug"}
Git = Callable[..., "str | None"]


class InputError(Exception):
    """An input cannot be used; the message says which, and what to write."""


@dataclass(frozen=True)
class Inputs:
    """What the workflow asked for; empty where it said nothing."""

    base: str = ""
    head: str = ""
    models: str = ""
    max_slowdown: str = ""
    packages: str = ""
    arguments: str = ""
    max_minutes: str = ""
    run: str = ""
    baseline: str = ""
    baseline_branch: str = ""
    config: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Inputs:
        """Read the variables that action.yml sets."""
        return cls(**{name: environment.get(f"GATE_{name.upper()}", "").strip() for name in cls.__dataclass_fields__})

    @property
    def stored(self) -> bool:
        """Whether stored results are judged, instead of timing two versions."""
        return bool(self.run or self.baseline)


def main() -> int:
    """Run the gate; return 0 unless nothing could be started at all."""
    folder = Path(os.environ.get("RUNNER_TEMP", ".")) / "genbench-gate"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        command = command_of(Inputs.of(os.environ), event(os.environ), git, folder)
    except InputError as error:
        print(f"::error title=genbench::{escaped(str(error))}")
        return leave(2, folder)
    print(" ".join(command), flush=True)
    for name in ("summary.md", "junit.xml", "comparison.json", "findings.json"):
        (folder / name).unlink(missing_ok=True)  # of a gate before this one in the same job
    # -P: the installed genbench is run, not a folder of that name in the checkout.
    whole = [sys.executable, "-P", "-m", "genbench", *command]
    if command[0] == "ab":
        return leave(subprocess.run(whole, check=False).returncode, folder)
    with (folder / "findings.json").open("wb") as findings:
        return leave(subprocess.run([*whole, "--json"], stdout=findings, check=False).returncode, folder)


def command_of(inputs: Inputs, event: Mapping[str, Any], git: Git, folder: Path) -> list[str]:
    """Return the arguments of genbench; raise `InputError` where they cannot be told."""
    return _check(inputs, git, folder) if inputs.stored else _live(inputs, event, git, folder)


def _live(inputs: Inputs, event: Mapping[str, Any], git: Git, folder: Path) -> list[str]:
    base = found_base(inputs.base or default_base(event, git), git)
    command = ["ab", f"--base={base}", f"--head={inputs.head or '.'}", f"--out={folder}"]
    named = {"models": inputs.models, "max-slowdown": inputs.max_slowdown, "max-minutes": inputs.max_minutes}
    command += [f"--{name}={value}" for name, value in {**named, "config": inputs.config}.items() if value]
    return [*command, *(f"--package={name}" for name in lines(inputs.packages)), *lines(inputs.arguments)]


def _check(inputs: Inputs, git: Git, folder: Path) -> list[str]:
    if not (inputs.run and inputs.baseline):
        raise InputError("Stored results are judged by `run` and `baseline` together; one of them is missing.")
    baseline = inputs.baseline
    if inputs.baseline_branch:
        git("fetch", "--quiet", "--no-tags", "--depth=1", "--", "origin", f"refs/heads/{inputs.baseline_branch}")
        kept = git("show", f"FETCH_HEAD:{inputs.baseline}")
        if kept is None:
            raise InputError(f"There is no {inputs.baseline} on the branch {inputs.baseline_branch}.")
        baseline = str(folder / "baseline.json")
        Path(baseline).write_text(kept, encoding="utf-8")
    command = ["check", inputs.run, f"--baseline={baseline}"]
    command += [f"--summary={folder / 'summary.md'}", f"--junit={folder / 'junit.xml'}"]
    named = {"config": inputs.config, "max-slowdown": inputs.max_slowdown}
    return [*command, *(f"--{name}={value}" for name, value in named.items() if value), *lines(inputs.arguments)]


def default_base(event: Mapping[str, Any], git: Git) -> str:
    """Return what a pull request or a push is compared with.

    A pull request is checked out as its merge with the base: the merge's first parent is then exactly what it changes.
    """
    if "pull_request" in event:
        merged = git("rev-parse", "--verify", "--quiet", "HEAD^2")
        return "HEAD^1" if merged else str(event["pull_request"]["base"]["sha"])
    before = str(event.get("before") or "")
    if before.strip("0"):
        return before
    raise InputError("There is no pull request and no push here to take the base from: say `base`.")


def found_base(base: str, git: Git) -> str:
    """Return the base under a name that this checkout knows, fetched where it is shallow; or as it was written."""
    if base.startswith((".", "/", "~")) or base.endswith(".whl") or _known(base, git):
        return base
    if _known(f"origin/{base}", git):
        return f"origin/{base}"
    if git("fetch", "--quiet", "--no-tags", "--depth=1", "--", "origin", base) is not None:
        return str(git("rev-parse", "FETCH_HEAD")).strip()
    return base  # genbench says what is wrong with it


def _known(name: str, git: Git) -> bool:
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") is not None


def git(*arguments: str) -> str | None:
    """Return what git says, or None where it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, errors="replace")
    return done.stdout if done.returncode == 0 else None


def event(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what started the workflow, as GitHub describes it; empty elsewhere."""
    path = environment.get("GITHUB_EVENT_PATH")
    if not path or not Path(path).is_file():
        return {}
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def lines(text: str) -> list[str]:
    """Return the lines of an input that is a list: one value each, with whatever spaces it has inside."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def escaped(text: str) -> str:
    """Return text as the runner reads it in a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def leave(code: int, folder: Path) -> int:
    """Write the step summary and the outputs."""
    summary = folder / "summary.md"
    if not summary.is_file():
        told = VERDICTS.get(code, "ended early")
        summary.write_text(f"### ⚠️ genbench: {told} (exit code {code})\n\nThe log of the step says why.\n", "utf-8")
    text = summary.read_text(encoding="utf-8")
    print(text)
    _append("GITHUB_STEP_SUMMARY", text)
    outputs = {"verdict": verdict_of(code, folder), "exit-code": str(code), "evidence": str(folder)}
    _append("GITHUB_OUTPUT", "".join(f"{name}={value}\n" for name, value in outputs.items()))
    return 0


def verdict_of(code: int, folder: Path) -> str:
    """Return the verdict in one word; `improved` has the exit code of `ok`, and only the evidence tells them apart."""
    for name in ("comparison.json", "findings.json"):
        try:
            if code == 0 and json.loads((folder / name).read_text(encoding="utf-8"))["verdict"] == "improved":
                return "improved"
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return VERDICTS.get(code, "ended")


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
