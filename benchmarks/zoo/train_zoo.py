"""Trains the zoo with a larger budget, in an order in which it can be stopped at any time.

    python benchmarks/zoo/train_zoo.py --images 24000 --out results/reference/zoo-large

First seed 0 of the well-known models, then all others, then the well-known ones with seeds 1 and 2, two cells at a time
with a thread each. Whatever is finished when it is stopped is a comparison of whole models. The same command goes on
where it was. At the end it prints the runs that are complete.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PLANS = Path(__file__).parents[1] / "plans"


class Stage(NamedTuple):
    """One run: its folder under --out, its plan, and its seed."""

    name: str
    plan: str
    seed: int


STAGES = (
    Stage("known-0", "zoo-known", 0),
    Stage("others", "zoo-others", 0),
    Stage("known-1", "zoo-known", 1),
    Stage("known-2", "zoo-known", 2),
)


def command(stage: Stage, images: int, parallel: int, out: Path) -> list[str]:
    """Return the arguments of genbench that begin the stage, or that continue it where it was begun."""
    run = out / stage.name
    if (run / "run.json").is_file():
        return ["run", "--resume", str(run)]
    settings = {"--config": PLANS / f"{stage.plan}.toml", "--seeds": stage.seed, "--images": images, "--out": run}
    if parallel > 1:
        settings |= {"--parallel": parallel, "--timing": "shared"}
    return ["run", *(str(word) for pair in settings.items() for word in pair)]


def train(images: int, parallel: int, out: Path) -> Iterator[Stage]:
    """Run the stages one after the other, and yield each that is complete; stop at the first that is interrupted."""
    for stage in STAGES:
        arguments = command(stage, images, parallel, out)
        print("genbench", *arguments, flush=True)
        if subprocess.run([sys.executable, "-m", "genbench", *arguments]).returncode == 130:  # interrupted
            return
        yield stage


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, required=True, help="images that each model consumes")
    parser.add_argument("--parallel", type=int, default=2, help="cells at a time [default: 2]")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    done: list[Stage] = []
    with contextlib.suppress(KeyboardInterrupt):
        done.extend(train(asked.images, asked.parallel, asked.out))  # what was yielded before Ctrl-C stays
    print("complete:", *(asked.out / stage.name for stage in done))
    return 0 if len(done) == len(STAGES) else 130


if __name__ == "__main__":
    sys.exit(main())
