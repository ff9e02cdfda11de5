"""genbench's training step beside what people would otherwise run: plain scripts, the trainers of pythae and torchgan.

    python benchmarks/peers/compare.py --out results/reference/peers.json

In each case all sides train the same networks from the same first weights, on the same images, with the same batch size
and settings of Adam. Images per second are counted from end to end: what a side does to its images, its losses on the
host and its own bookkeeping are on the clock. Each side lives in a process of its own, and short windows alternate
between them in the order ABCCBA, so that a machine that slows down slows all. The figure is the median over blocks of
the ratio of times, with its distribution-free 95% interval.

genbench's process has the settings that its workers get. The others have those of an ordinary process, but for the
OpenMP threads, which wait in all of them as they do in genbench's workers: that only helps on a machine that has other
things to do. Before the windows each side trains for some steps, of which the losses and the distance that the weights
went are kept: where two sides have the same mathematics, these agree. For VAEs there are 1,000 of them: from about the
700th on, first moments of Adam are denormal numbers, with which a processor computes slowly unless it is told to take
them for zero, as genbench's workers tell it. Most of a training lies behind that point. `--check-steps 100` with few
blocks shows how it is before.

It needs pip install -e '.[peers]' plugins/genbench-pythae plugins/genbench-torchgan.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.measure import machine
from genbench.process.environment import worker_environment
from genbench.stats.intervals import mean_and_error, median_interval

OURS = "genbench"


@dataclass(frozen=True)
class Case:
    """Sides that are compared; the first is what genbench is held against."""

    title: str
    model: str
    batch_size: int
    sides: tuple[str, ...]
    check_steps: int  # trained before the windows
    same_loss: bool = False  # all sides compute the same loss, but for the noise
    colour: bool = False  # PNG files of 64×64×3; otherwise grey images of 28×28 in memory
    workers_on_gpu: int = 0  # of the DataLoader, as the example has them where there is a GPU


CASES = {
    "vae": Case("VAE, 784-400-20", "vae", 128, ("plain", OURS), 1000, same_loss=True, workers_on_gpu=1),
    "pythae": Case("pythae's VAE, 784-512-10", "pythae-vae", 128, ("pythae", OURS), 1000, same_loss=True),
    "gan": Case("GAN of perceptrons", "gan", 64, ("plain", OURS), 100),
    "dcgan": Case("DCGAN, 64×64×3", "dcgan", 64, ("plain", OURS, f"{OURS}-bf16"), 6, colour=True, workers_on_gpu=2),
    "torchgan": Case("torchgan's DCGAN, 64×64×3", "torchgan-dcgan", 64, ("torchgan", OURS), 6, colour=True),
}


def main() -> None:
    """Measure the cases and write the figures with the raw samples; or, as a child, be one side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="cases, separated by commas")
    parser.add_argument("--blocks", type=int, default=20, help="per case; each side has two windows in a block")
    parser.add_argument("--window-seconds", type=float, default=1.0, help="of the slowest side")
    parser.add_argument("--check-steps", type=int, help="trained before the windows; otherwise each case's own number")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", default="eager", help="genbench's: eager, compile, graph, auto")
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--workers", type=int, help="of the peers' DataLoaders; otherwise 0, on a GPU each case's own")
    parser.add_argument("--images", type=int, default=2560, help="PNG files; genbench holds every fifth back")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        be_side(*arguments.side, arguments)
        return
    wanted = arguments.only.split(",")
    unknown = [name for name in wanted if name not in CASES]
    if unknown:
        parser.error(f"there is no case {', '.join(unknown)}; cases: {', '.join(CASES)}")
    begin = time.monotonic()
    report: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "device": arguments.device,
        "engine": arguments.engine,
        "threads": arguments.threads,
        "machine": machine.describe(),
        "cases": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = Path(folder)
        if any(CASES[name].colour for name in wanted):
            from images import write_folder

            write_folder(arguments.folder, arguments.images)
        for name in wanted:
            found = report["cases"][name] = compare(name, CASES[name], arguments)
            print(describe(found), flush=True)
    report["load_average"], report["minutes"] = machine.load_average(), (time.monotonic() - begin) / 60
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(name: str, case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was found of a case."""
    with ExitStack() as stack:
        sides = {side: stack.enter_context(Child(name, side, arguments)) for side in case.sides}
        born = {side: child.hello for side, child in sides.items()}
        for key in ("parameters", "weights"):
            if len({hello[key] for hello in born.values()}) > 1:
                raise RuntimeError(f"{name}: the sides do not have the same {key}: {born}")
        checked = {side: child.check(arguments.check_steps or case.check_steps) for side, child in sides.items()}
        slowest = max(child.train(2)["seconds"] / 2 for child in sides.values())
        steps = max(2, round(arguments.window_seconds / slowest))
        windows: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for block in range(arguments.blocks):
            order = list(sides)[::-1] if block % 2 else list(sides)
            for side in (*order, *order[::-1]):
                found = sides[side].train(steps)
                windows[side].append({key: found[key] for key in ("seconds", "processor_seconds")})
    first = case.sides[0]
    return {
        "title": case.title,
        "model": case.model,
        "batch_size": case.batch_size,
        "parameters": born[first]["parameters"],
        "steps_per_window": steps,
        "images_per_second": {
            side: case.batch_size * steps / statistics.median(window["seconds"] for window in found)
            for side, found in windows.items()
        },
        "ratios": {side: ratio(windows[first], windows[side], arguments.blocks) for side in case.sides[1:]},
        "training": {
            side: {"steps": found["steps"], "moved": found["moved"]}
            | {when: {name: statistics.fmean(v) for name, v in found[when].items()} for when in ("begin", "end")}
            for side, found in checked.items()
        },
        "agreement": agreement(checked) if case.same_loss else None,
        "windows": windows,
    }


def ratio(peer: list[dict[str, float]], mine: list[dict[str, float]], blocks: int) -> dict[str, Any]:
    """Return the peer's time over genbench's, in seconds of the clock and of the processors."""
    found: dict[str, Any] = {}
    for key in ("seconds", "processor_seconds"):
        sums = [
            [sum(window[key] for window in side[2 * b : 2 * b + 2]) for b in range(blocks)] for side in (peer, mine)
        ]
        interval = median_interval([theirs / ours for theirs, ours in zip(*sums, strict=True)])
        found[key] = interval._asdict()
    return found


def agreement(checked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return how far the last losses of the sides lie apart, and the standard error of such a difference.

    Only where all sides compute the same loss from the same distribution of images and noise is it to be zero.
    """
    first, *others = checked.values()
    found: dict[str, Any] = {}
    for player, values in first["end"].items():
        for other in others:
            mine = mean_and_error(other["end"][player])
            difference = mine.value - mean_and_error(values).value
            error = None if mine.standard_error is None else math.sqrt(2) * mine.standard_error
            found[player] = {"difference": difference, "standard_error": error}
    return found


def describe(found: dict[str, Any]) -> str:
    """Return lines for the terminal."""
    lines = [f"{found['title']}: batch {found['batch_size']}, {found['parameters']:,} parameters on every side"]
    for side, rate in found["images_per_second"].items():
        trained = found["training"][side]
        losses = "; ".join(f"{name} {loss:.4g} → {trained['end'][name]:.4g}" for name, loss in trained["begin"].items())
        lines.append(
            f"  {side:<14} {rate:9,.0f} images/s   "
            f"in {trained['steps']} steps weights moved by {trained['moved']:.2%}; {losses}"
        )
    for side, of in found["ratios"].items():
        clock, busy = of["seconds"], of["processor_seconds"]
        lines.append(
            f"  {side:<14} is {clock['median']:.2f} times as fast  "
            f"95% interval [{clock['low']:.2f}, {clock['high']:.2f}]"
            f"  (in seconds of processors {busy['median']:.2f})"
        )
    for player, of in (found["agreement"] or {}).items():
        lines.append(
            f"  {player}: last losses differ by {of['difference']:.3g}, standard error {of['standard_error']:.2g}"
        )
    return "\n".join(lines)


class Child:
    """A side in a process of its own; it trains when it is asked to and sleeps otherwise."""

    def __init__(self, case: str, side: str, arguments: argparse.Namespace) -> None:
        own = worker_environment()
        spin = {name: own[name] for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in own}
        command = [sys.executable, __file__, "--side", case, side, "--folder", str(arguments.folder)]
        command += ["--device", arguments.device, "--engine", arguments.engine, "--threads", str(arguments.threads)]
        command += [] if arguments.workers is None else ["--workers", str(arguments.workers)]
        environment = own if side.startswith(OURS) else {**os.environ, **spin}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True, env=environment
        )
        self.hello = self._read()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def train(self, steps: int, moved: bool = False) -> dict[str, Any]:
        """Train so many steps and return what the side tells."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"steps": steps, "moved": moved}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def check(self, steps: int) -> dict[str, Any]:
        """Train, and return the losses of the first and the last steps, and how far the weights went."""
        some = max(1, steps // 6)
        begin = self.train(some)
        self.train(max(1, steps - 2 * some))
        end = self.train(some, moved=True)
        return {"steps": steps, "begin": begin["losses"], "end": end["losses"], "moved": end["moved"]}

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
            raise RuntimeError(f"a side ended with status {status}:\n{said[-4000:]}")
        found: dict[str, Any] = json.loads(line)
        return found


def be_side(name: str, side: str, arguments: argparse.Namespace) -> None:
    """Train as one side when asked to."""
    import libraries
    import ours
    import plain
    import torch
    from sides import Setting, private_output, serve

    from genbench.train.torch_setup import set_up_torch

    answers = private_output()
    if side.startswith(OURS):
        set_up_torch(arguments.threads)
    else:
        torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 on every side
    torch.manual_seed(0)
    case, device = CASES[name], torch.device(arguments.device)
    setting = Setting(
        model=case.model,
        batch_size=case.batch_size,
        device=device,
        folder=arguments.folder if case.colour else None,
        precision="bf16" if side.endswith("-bf16") else "fp32",
        engine=arguments.engine,
        workers=arguments.workers if arguments.workers is not None else case.workers_on_gpu * (device.type == "cuda"),
    )
    scripts = {"vae": plain.PlainVAE, "gan": plain.mlp_gan, "dcgan": plain.dcgan}
    makers = {"plain": scripts.get(name), "pythae": libraries.Pythae, "torchgan": libraries.Torchgan}
    make = ours.Genbench if side.startswith(OURS) else makers[side]
    assert make is not None
    serve(make(setting), setting, answers)


if __name__ == "__main__":
    main()
