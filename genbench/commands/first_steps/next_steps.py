"""What `genbench` without a command suggests, from what lies in the working directory."""

from __future__ import annotations

import heapq
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import GenbenchError
from genbench.results.run_lock import is_held
from genbench.results.store import RunDirectory

_RUNS = 20  # the newest ones are looked at, so that the answer comes at once
_SHOWN = 3  # interrupted runs
_PLANS = ("plan.toml",)
FIRST = (
    ("genbench run --models gan,dcgan,vae", "train three models and compare them, in about two minutes"),
    ("genbench init", "write a commented plan.toml for a comparison of your own"),
    ("genbench list", "models, losses, datasets and metrics"),
    ("genbench doctor", "is this machine sound?"),
)


@dataclass(frozen=True)
class Step:
    """A command that makes sense now, and why."""

    command: str
    reason: str


def next_steps(folder: Path) -> list[Step]:
    """Return what makes sense next, the most urgent first.

    Args:
        folder: where runs are looked for, and in its folder ``results``.
    """
    runs = [found for found in map(_open, _newest_runs(folder)) if found is not None]
    interrupted = [step for run in runs if (step := _unfinished(run)) is not None]
    steps = interrupted[:_SHOWN]
    finished = [run for run in runs if (run.path / "report.html").is_file()]
    if finished:
        last = shlex.quote(str(finished[0].path))
        steps.append(Step(f"genbench table {last}", f"the last results; as a page: {finished[0].path / 'report.html'}"))
        several = len({cell.identity.seed for cell in finished[0].record.cells}) > 1
        steps += [Step(f"genbench compare {last}", "which model is better, and is that real?")] if several else []
    plans = [name for name in _PLANS if (folder / name).is_file()]
    steps += [Step(f"genbench run --config {name} --dry-run", "what the plan would run") for name in plans]
    if not steps:
        steps = [Step(command, reason) for command, reason in FIRST]
    return steps


def _newest_runs(folder: Path) -> list[Path]:
    found = []
    for parent in (folder, folder / "results"):
        try:
            children = [Path(entry.path) for entry in os.scandir(parent)]
        except OSError:
            continue
        for child in children:
            try:
                found.append(((child / "run.json").stat().st_mtime, child))
            except (OSError, ValueError):
                continue
    return [path for _, path in heapq.nlargest(_RUNS, found)]


def _open(path: Path) -> RunDirectory | None:
    try:
        return RunDirectory.open(os.path.relpath(path))
    except (GenbenchError, OSError, ValueError):
        return None  # damaged, or of a newer version; commands that are given its name say so


def _unfinished(run: RunDirectory) -> Step | None:
    planned = len(run.record.cells)
    try:
        done = sum(entry.name.endswith(".json") for entry in os.scandir(run.path / "cells"))
        held = is_held(run.record_path)
    except OSError:
        return None
    if done >= planned:
        return None
    path = shlex.quote(str(run.path))
    count = f"{done} of {planned} cells are finished"
    if held:
        return Step(f"genbench show {path}", f"it is running: {count}")
    return Step(f"genbench run --resume {path}", f"it was interrupted: {count}")
