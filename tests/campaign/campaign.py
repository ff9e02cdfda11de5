"""A campaign of random faults: damaged files, kills, full disks, bad images and bad plugins.

    python tests/campaign/campaign.py                        five minutes with a fresh seed
    python tests/campaign/campaign.py --seconds 3600 --seed 7
    python tests/campaign/campaign.py --seed 7 --only damaged-file:31      one trial again

It prints the seed, and each finding with the command that repeats it; the exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from judge import Finding  # noqa: E402
from kinds import KINDS, Material  # noqa: E402


def main() -> int:
    """Run trials until the time is up; return 1 if something was found."""
    parser = argparse.ArgumentParser(description="A campaign of random faults.")
    parser.add_argument("--seconds", type=float, default=300, help="how long it lasts (default: 300)")
    parser.add_argument("--seed", type=int, help="default: a fresh one")
    parser.add_argument("--only", metavar="KIND[:N]", help="one kind of fault, or one trial of it")
    arguments = parser.parse_args()
    seed = secrets.randbelow(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="genbench-campaign-"))
    os.environ["GENBENCH_CACHE"] = str(folder / "cache")
    try:
        return campaign(Material(folder), seed, arguments.seconds, arguments.only or "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def campaign(material: Material, seed: int, seconds: float, only: str) -> int:
    """Give each kind its share of the time; return 1 if something was found."""
    kind_only, _, number_only = only.partition(":")
    kinds = {name: kind for name, kind in KINDS.items() if name == kind_only or not kind_only}
    begin, spent, done, found = time.monotonic(), Counter[str](), Counter[str](), 0
    while time.monotonic() - begin < seconds:
        kind = min(kinds, key=lambda name: spent[name] / KINDS[name][1])
        number = int(number_only) if number_only else done[kind]
        started = time.monotonic()
        place = material.folder / f"{kind}-{number}"
        place.mkdir()
        try:
            KINDS[kind][0](material, random.Random(f"{seed}:{kind}:{number}"), place)
        except Finding as finding:
            found += 1
            print(f"\nFOUND with --seed {seed} --only {kind}:{number}\n{finding}", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        done[kind] += 1
        spent[kind] += time.monotonic() - started
        if number_only:
            break
    trials = ", ".join(f"{count} {name}" for name, count in done.items())
    print(f"{trials} in {time.monotonic() - begin:.0f} s: {found} findings", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
