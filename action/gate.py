"""Step "measure" of the GitHub Action: run the gate and write the verdict, the summary, JUnit and the evidence.

Every input arrives as an environment variable and is passed as one argument of a process: no text of a workflow or a
pull request is ever interpreted by a shell. The exit code of genbench is an output of this step, not the step's own
exit code, so that evidence is uploaded and commented on before the job fails; the step "conclude" exits with it.
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
    """The inputs of the workflow; empty if not given."""

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
    """Run the gate; return 0 unless it cannot be started at all."""
    folder = Path(os.environ.get("RUNNER_TEMP", ".")) / "genbench-gate"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        command = command_of(Inputs.of(os.environ), event(os.environ), git, folder)
    except InputError as error:
        print(f"::error title=genbench::{escaped(str(error))}")
        return leave(2, folder)
    print(" ".join(command), flush=True)
    for name in ("summary.md", "junit.xml", "comparison.json", "findings.json"):
        (folder / name).unlink(missing_ok=True)  # from an earlier gate in the same job
    # -P: run the installed genbench, not a folder of that name in the checkout.
    command_line = [sys.executable, "-P", "-m", "genbench", *command]
    if command[0] == "ab":
        return leave(subprocess.run(command_line, check=False).returncode, folder)
    with (folder / "findings.json").open("wb") as findings:
        return leave(subprocess.run([*command_line, "--json"], stdout=findings, check=False).returncode, folder)


def command_of(inputs: Inputs, event: Mapping[str, Any], git: Git, folder: Path) -> list[str]:
    """Return the arguments of genbench; raise `InputError` if the inputs do not determine them."""
    return _check(inputs, git, folder) if inputs.stored else _live(inputs, event, git, folder)


def _live(inputs: Inputs, event: Mapping[str, Any], git: Git, folder: Path) -> list[str]:
    base = found_base(inputs.base or default_base(event, git), git)
    command = ["ab", f"--base={base}", f"--head={inputs.head or '.'}", f"--out={folder}"]
    named = {"models": inputs.models, "max-slowdown": inputs.max_slowdown, "max-minutes": inputs.max_minutes}
    command += [f"--{name}={value}" for name, value in {**named, "config": inputs.config}.items() if value]
    return [*command, *(f"--package={name}" for name in lines(inputs.packages)), *lines(inputs.arguments)]


def _check(inputs: Inputs, git: Git, folder: Path) -> list[str]:
    if not (inputs.run and inputs.baseline):
        raise InputError("Judging stored results needs both `run` and `baseline`; one of them is missing.")
    baseline = inputs.baseline
    if inputs.baseline_branch:
        git("fetch", "--quiet", "--no-tags", "--depth=1", "--", "origin", f"refs/heads/{inputs.baseline_branch}")
        stored = git("show", f"FETCH_HEAD:{inputs.baseline}")
        if stored is None:
            raise InputError(f"There is no {inputs.baseline} on the branch {inputs.baseline_branch}.")
        baseline = str(folder / "baseline.json")
        Path(baseline).write_text(stored, encoding="utf-8")
    command = ["check", inputs.run, f"--baseline={baseline}"]
    command += [f"--summary={folder / 'summary.md'}", f"--junit={folder / 'junit.xml'}"]
    named = {"config": inputs.config, "max-slowdown": inputs.max_slowdown}
    return [*command, *(f"--{name}={value}" for name, value in named.items() if value), *lines(inputs.arguments)]


def default_base(event: Mapping[str, Any], git: Git) -> str:
    """Return the revision that a pull request or a push is compared with.

    A pull request is checked out as its merge with the base, whose first parent is exactly the base.
    """
    if "pull_request" in event:
        merged = git("rev-parse", "--verify", "--quiet", "HEAD^2")
        return "HEAD^1" if merged else str(event["pull_request"]["base"]["sha"])
    before = str(event.get("before") or "")
    if before.strip("0"):
        return before
    raise InputError("There is no pull request or push to determine the base from: set `base`.")


def found_base(base: str, git: Git) -> str:
    """Return a name that resolves to the base here, after fetching it if necessary, or else the name unchanged."""
    if base.startswith((".", "/", "~")) or base.endswith(".whl") or _known(base, git):
        return base
    if _known(f"origin/{base}", git):
        return f"origin/{base}"
    if git("fetch", "--quiet", "--no-tags", "--depth=1", "--", "origin", base) is not None:
        return str(git("rev-parse", "FETCH_HEAD")).strip()
    return base  # genbench reports what is wrong with it


def _known(name: str, git: Git) -> bool:
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") is not None


def git(*arguments: str) -> str | None:
    """Return git's output, or None if it fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, errors="replace")
    return done.stdout if done.returncode == 0 else None


def event(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the event that started the workflow, as described by GitHub; empty elsewhere."""
    path = environment.get("GITHUB_EVENT_PATH")
    if not path or not Path(path).is_file():
        return {}
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def lines(text: str) -> list[str]:
    """Return the lines of a list input: one value each, which may contain spaces."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def escaped(text: str) -> str:
    """Return text escaped for a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def leave(code: int, folder: Path) -> int:
    """Write the step summary and the outputs."""
    summary = folder / "summary.md"
    if not summary.is_file():
        verdict = VERDICTS.get(code, "ended early")
        summary.write_text(f"### ⚠️ genbench: {verdict} (exit code {code})\n\nSee the log of the step.\n", "utf-8")
    text = summary.read_text(encoding="utf-8")
    print(text)
    _append("GITHUB_STEP_SUMMARY", text)
    outputs = {"verdict": verdict_of(code, folder), "exit-code": str(code), "evidence": str(folder)}
    _append("GITHUB_OUTPUT", "".join(f"{name}={value}\n" for name, value in outputs.items()))
    return 0


def verdict_of(code: int, folder: Path) -> str:
    """Return the verdict in one word; `improved` and `ok` share an exit code, so the evidence distinguishes them."""
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
