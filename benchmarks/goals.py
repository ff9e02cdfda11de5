"""The table of goals for the speed of a step, of `genbench fid` and of the harness, measured in one run.

    python benchmarks/goals.py --out results/reference/goals.json

takes about fifteen minutes on two quiet cores. It calls the programs beside it, whose trainers take turns in short
windows: `peers/compare.py` for each case, `engine_overhead.py`, and `metrics/fid_folders.py` with few images. Then it
prints one line for each goal: what was found, with its interval, and the physical limit, which is how many times as
fast as the peer a step would be that needed no more time than its operations do in a large matrix product. The
processor is named above the table. `--quick` takes two blocks of each, to try the programs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genbench.measure import machine

FOLDER = Path(__file__).parent
GOALS = (  # case of peers/compare.py, trainer of genbench, at least so many times as fast
    ("vae", "genbench", 3.0),
    ("pythae", "genbench", 1.7),
    ("gan", "genbench", 2.2),
    ("dcgan", "genbench", 1.4),
    ("dcgan", "genbench-bf16", 3.0),
    ("lightning-vae", "genbench", 1.3),
    ("lightning-gan", "genbench", 1.3),
    ("keras-vae", "genbench", 1.3),
    ("keras-dcgan", "genbench", 1.3),
    ("diffusers", "genbench", 1.3),
)
FID_GOALS = {"pytorch-fid": 2.0, "torch-fidelity": 1.5, "clean-fid": 1.5}
OVERHEAD = 1.01  # engine / hand-written loop, at most
SLOW = ("dcgan", "keras-dcgan", "diffusers")  # steps of tenths of a second: fewer blocks


def main() -> None:
    """Run everything, write what was found, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(dict.fromkeys(case for case, _, _ in GOALS)))
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--fid-images", type=int, default=100, help="per folder; 0: skip; the goal is about 5,000")
    parser.add_argument("--overhead-models", default="gan,dcgan,vae", help="empty: skip")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    begin, before = time.monotonic(), machine.load_average()
    report: dict[str, Any] = {"command": " ".join(["python", *sys.argv]), "machine": machine.describe(), "peers": {}}
    threads = ("--threads", str(arguments.threads))
    for case in filter(None, arguments.cases.split(",")):
        blocks = 2 if arguments.quick else 3 if case in SLOW else 7
        options = ["--only", case, "--blocks", str(blocks), "--window-seconds", "0.1" if arguments.quick else "0.5"]
        if arguments.quick:
            options += ["--check-steps", "6", "--images", "320", "--step-tuning", "off"]
        report["peers"] |= run("peers/compare.py", [*options, *threads])["cases"]
    if arguments.overhead_models:
        options = ["--models", arguments.overhead_models, "--blocks", "4" if arguments.quick else "40"]
        report["overhead"] = run("engine_overhead.py", [*options, "--window-seconds", "0.06", *threads])["models"]
    if arguments.fid_images:
        options = ["--images", str(arguments.fid_images), "--memory", "", "--rounds", "1", "--kinds", "cold"]
        report["fid"] = run("metrics/fid_folders.py", options)
    report |= {"minutes": (time.monotonic() - begin) / 60, "load_average": [before, machine.load_average()]}
    print(f"{report['machine']['processor']}, {arguments.threads} threads, {report['minutes']:.0f} minutes")
    print("\n".join(table(report)))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def run(script: str, options: Sequence[str]) -> dict[str, Any]:
    """Run a program beside this one and return what it writes; the lines that it prints go to standard error."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        subprocess.run(
            [sys.executable, str(FOLDER / script), *options, "--out", str(out)], check=True, stdout=sys.stderr
        )
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def table(report: dict[str, Any]) -> list[str]:
    """Return the lines of a table in Markdown: subject, goal, what was found and its limit."""
    lines = ["| | goal | found | in processor time | at most | what the step took |", "|---|---|---|---|---|---|"]
    for case, trainer, goal in GOALS:
        found = report["peers"].get(case)
        if found is None:
            continue
        ratio, busy = (found["ratios"][trainer][key] for key in ("seconds", "processor_seconds"))
        title = found["title"] + (" in bf16 against fp32" if trainer.endswith("bf16") else "")
        options = ", ".join(f"{name} = {option}" for name, option in found["step_options"][trainer].items())
        lines.append(
            f"| {title} | ≥ {goal} | {ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
            f" | {busy['median']:.2f} | {limit(found, trainer):.2f} | {options or 'the defaults'} |"
        )
    for found in report.get("overhead", ()):
        ratio, busy = f"{found['ratio']:.3f} [{found['low']:.3f}, {found['high']:.3f}]", found["processor_ratio"]
        lines.append(f"| step of {found['model']} / loop | ≤ {OVERHEAD} | {ratio} | {busy['median']:.3f} | | |")
    if "fid" in report:
        for peer, ratio in report["fid"]["ratios"]["cold"].items():
            title = f"`genbench fid`, cold, {report['fid']['images']} images per folder, against {peer}"
            lines.append(f"| {title} | ≥ {FID_GOALS[peer]} | {ratio:.2f} | | | |")
    return lines


def limit(found: dict[str, Any], trainer: str) -> float:
    """Return how many times as fast as the peer a step would be that takes only as long as its operations need.

    They need the time of the same number of operations in a large fp32 matrix product; bf16 may need less.
    """
    peer = next(name for name in found["images_per_second"] if name not in found["ratios"])
    fastest = found["batch_size"] * 1e9 * found["peak_gflops"] / found["flops_per_step"][trainer]
    return float(fastest / found["images_per_second"][peer])


if __name__ == "__main__":
    main()
