"""`genbench ab` on genbench itself: a commit of comments passes, a commit that slows a step fails.

    python benchmarks/gate/own_history.py --out results/reference/gate-own-history.json

The commits are made in a clone of this repository, in a temporary folder: the first adds a comment to the engine, the
second makes every update evaluate its objective twice. `genbench ab` compares each with the commit that is checked out
here.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = "genbench/train/engine.py"
CALL = "objective = player.phase.objective(batch)\n"
REPEATED = "player.phase.objective(batch)\n"


def main() -> int:
    """Make both commits, compare each with the checked-out commit, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="gan")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "comparisons": []}
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "genbench"
        git(REPOSITORY, "clone", "--quiet", str(REPOSITORY), str(clone))
        base = git(clone, "rev-parse", "HEAD")
        engine = clone / ENGINE
        text = engine.read_text()
        engine.write_text(text + "\n# A comment.\n")
        comment = commit(clone, "A comment")
        assert CALL in text, "the engine has changed: insert the regression elsewhere"
        engine.write_text(re.sub(rf"^( +){re.escape(CALL)}", rf"\g<0>\1{REPEATED}", text, flags=re.MULTILINE))
        regression = commit(clone, "Evaluate twice")
        for name, head in (("only comments", comment), ("a planted regression", regression)):
            begin = time.perf_counter()
            out = Path(scratch) / name
            command = ["ab", "--base", base, "--head", head, "--models", arguments.models, "--out", str(out)]
            done = subprocess.run([sys.executable, "-m", "genbench", *command], cwd=clone, check=False)
            found = json.loads((out / "comparison.json").read_text())
            report["comparisons"].append(
                {
                    "commit": name,
                    "exit_code": done.returncode,
                    "seconds": time.perf_counter() - begin,
                    "verdict": found["verdict"],
                    "cells": found["cells"],
                }
            )
    for one in report["comparisons"]:
        print(f"{one['commit']}: {one['verdict']} after {one['seconds']:.0f} s, exit code {one['exit_code']}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    return int([one["exit_code"] for one in report["comparisons"]] != [0, 1])


def commit(clone: Path, message: str) -> str:
    """Commit all changes and return the hash."""
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    git(clone, *identity, "commit", "--quiet", "--all", "--message", message)
    return git(clone, "rev-parse", "HEAD")


def git(where: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    done = subprocess.run(["git", "-C", str(where), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
