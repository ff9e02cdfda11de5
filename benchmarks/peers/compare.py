"""genbench's training step compared with the alternatives: example scripts and the trainers of libraries.

    python benchmarks/peers/compare.py --out results/reference/peers.json

In each case all trainers train the same networks from the same initial weights, on the same images, with the same batch
size and Adam settings. Images per second are end to end: image preprocessing, reading losses on the host and all
bookkeeping are timed. Each trainer has a separate process, and short windows alternate between them in the order
ABCCBA, so that slowdowns of the machine affect all. The result is the median over blocks of the ratio of times, with
its distribution-free 95% interval.

genbench's process has the settings of its workers. The others have those of an ordinary process, except that the OpenMP
threads of all of them wait as in genbench's workers: on a machine with other load, that only helps. Before the windows,
each trainer runs some steps whose losses and weight changes are recorded: if two trainers compute the same mathematics,
these agree. VAEs run 1,000 such steps: from about step 700 on, first moments of Adam are denormal numbers, which a
processor handles slowly unless it treats them as zero, as in genbench's workers. Most of a training lies beyond that
point. `--check-steps 100` with few blocks shows the speed before it.

genbench's step is tuned before the windows, as in `genbench run`; `--step-tuning off` uses the defaults. The
floating-point operations of one step of each trainer are counted, and the speed of a large matrix product is measured
by each: their quotient is the time below which no step of so many operations can be.

It needs pip install -e '.[peers]' plugins/genbench-pythae plugins/genbench-torchgan plugins/genbench-diffusers.
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
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.measure import machine
from genbench.process.environment import worker_environment
from genbench.stats.intervals import mean_and_error, median_interval

GENBENCH = "genbench"
DIFFUSERS = {  # the settings of its example, for both sides
    "optimizer": "adamw",
    "learning_rate": 1e-4,
    "beta1": 0.95,
    "beta2": 0.999,
    "weight_decay": 1e-6,
    "clip_gradient": 1.0,
    "ema_half_life": 0.0,
}


@dataclass(frozen=True)
class Case:
    """Trainers to compare; the first is the reference that genbench is compared with."""

    title: str
    model: str
    batch_size: int
    trainers: tuple[str, ...]
    check_steps: int  # trained before the windows
    same_loss: bool = False  # all trainers compute the same loss, except for noise
    colour: bool = False  # PNG files of 64×64×3; otherwise grey images of 28×28 in memory
    workers_on_gpu: int = 0  # DataLoader workers of the example on a GPU
    recipe: Mapping[str, Any] = field(default_factory=dict)  # what differs from the defaults of the model


LIBRARIES = {  # trainer -> module of this folder, class; each imports its library
    "pythae": ("libraries", "PythaeTrainer"),
    "torchgan": ("libraries", "TorchganTrainer"),
    "lightning": ("lightning_trainers", "LightningTrainer"),
    "keras": ("keras_trainers", "KerasTrainer"),
    "diffusers": ("diffusers_script", "DiffusersScript"),
}

CASES = {
    "vae": Case("VAE, 784-400-20", "vae", 128, ("plain", GENBENCH), 1000, same_loss=True, workers_on_gpu=1),
    "pythae": Case("pythae's VAE, 784-512-10", "pythae-vae", 128, ("pythae", GENBENCH), 1000, same_loss=True),
    "gan": Case("MLP GAN", "gan", 64, ("plain", GENBENCH), 100),
    "dcgan": Case(
        "DCGAN, 64×64×3", "dcgan", 64, ("plain", GENBENCH, f"{GENBENCH}-bf16"), 6, colour=True, workers_on_gpu=2
    ),
    "lightning-vae": Case("VAE in Lightning's Trainer", "vae", 128, ("lightning", GENBENCH), 1000, same_loss=True),
    "lightning-gan": Case("MLP GAN in Lightning's Trainer", "gan", 64, ("lightning", GENBENCH), 100),
    "keras-vae": Case("VAE in Keras 3 on torch", "vae", 128, ("keras", GENBENCH), 1000, same_loss=True),
    "keras-dcgan": Case("DCGAN in Keras 3 on torch, 64×64×3", "dcgan", 64, ("keras", GENBENCH), 6, colour=True),
    "diffusers": Case(
        "UNet2DModel in diffusers' example", "diffusers-unet", 16, ("diffusers", GENBENCH), 12, recipe=DIFFUSERS
    ),
    "torchgan": Case("torchgan's DCGAN, 64×64×3", "torchgan-dcgan", 64, ("torchgan", GENBENCH), 6, colour=True),
}


def main() -> None:
    """Measure the cases and write the results with the raw samples; or, as a child process, run one trainer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="comma-separated cases")
    parser.add_argument(
        "--blocks", type=int, default=20, help="blocks per case; each trainer has two windows per block"
    )
    parser.add_argument("--window-seconds", type=float, default=1.0, help="duration of a window of the slowest trainer")
    parser.add_argument("--check-steps", type=int, help="steps before the windows [default: depends on the case]")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", default="eager", help="engine of genbench: eager, compile, graph, auto")
    parser.add_argument("--step-tuning", default="auto", help="of genbench: auto, off")
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument(
        "--workers", type=int, help="DataLoader workers of the peers [default: 0; on a GPU, as in the example]"
    )
    parser.add_argument("--images", type=int, default=2560, help="number of PNG files; genbench holds out every fifth")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--trainer", nargs=2, metavar=("CASE", "TRAINER"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trainer:
        name, trainer = arguments.trainer
        run_trainer(name, trainer, arguments)
        return
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}; cases: {', '.join(CASES)}")
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
        if any(CASES[name].colour for name in names):
            from images import write_folder

            write_folder(arguments.folder, arguments.images)
        for name in names:
            found = report["cases"][name] = compare(name, CASES[name], arguments)
            print(describe(found), flush=True)
    report["load_average"], report["minutes"] = machine.load_average(), (time.monotonic() - begin) / 60
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(name: str, case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of a case."""
    with ExitStack() as stack:
        children = {trainer: stack.enter_context(TrainerProcess(name, trainer, arguments)) for trainer in case.trainers}
        initial = {trainer: child.hello for trainer, child in children.items()}
        for key in ("parameters", "weights"):
            if len({hello[key] for hello in initial.values()}) > 1:
                raise RuntimeError(f"{name}: the trainers do not have the same {key}: {initial}")
        checked = {
            trainer: child.check(arguments.check_steps or case.check_steps) for trainer, child in children.items()
        }
        flops = {trainer: child.count_flops() for trainer, child in children.items()}
        slowest = max(child.train(2)["seconds"] / 2 for child in children.values())
        steps = max(2, round(arguments.window_seconds / slowest))
        windows: dict[str, list[dict[str, float]]] = {trainer: [] for trainer in children}
        for block in range(arguments.blocks):
            order = list(children)[::-1] if block % 2 else list(children)
            for trainer in (*order, *order[::-1]):
                found = children[trainer].train(steps)
                windows[trainer].append({key: found[key] for key in ("seconds", "processor_seconds")})
    first = case.trainers[0]
    return {
        "title": case.title,
        "model": case.model,
        "batch_size": case.batch_size,
        "parameters": initial[first]["parameters"],
        "step_options": {trainer: hello["step_options"] for trainer, hello in initial.items()},
        "flops_per_step": flops,
        "peak_gflops": max(hello["peak_gflops"] for hello in initial.values()),
        "steps_per_window": steps,
        "images_per_second": {
            trainer: case.batch_size * steps / statistics.median(window["seconds"] for window in found)
            for trainer, found in windows.items()
        },
        "ratios": {trainer: ratio(windows[first], windows[trainer], arguments.blocks) for trainer in case.trainers[1:]},
        "training": {
            trainer: {"steps": found["steps"], "moved": found["moved"]}
            | {when: {name: statistics.fmean(v) for name, v in found[when].items()} for when in ("begin", "end")}
            for trainer, found in checked.items()
        },
        "agreement": agreement(checked) if case.same_loss else None,
        "windows": windows,
    }


def ratio(peer: list[dict[str, float]], own: list[dict[str, float]], blocks: int) -> dict[str, Any]:
    """Return the peer's time divided by genbench's, in wall time and in CPU time."""
    found: dict[str, Any] = {}
    for key in ("seconds", "processor_seconds"):
        sums = [
            [sum(window[key] for window in series[2 * b : 2 * b + 2]) for b in range(blocks)] for series in (peer, own)
        ]
        interval = median_interval([theirs / ours for theirs, ours in zip(*sums, strict=True)])
        found[key] = interval._asdict()
    return found


def agreement(checked: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the difference of the trainers' last losses, and the standard error of such a difference.

    It is expected to be zero only if all trainers compute the same loss from the same distribution of images and noise.
    """
    first, *others = checked.values()
    found: dict[str, Any] = {}
    for player, values in first["end"].items():
        for other in others:
            last = mean_and_error(other["end"][player])
            difference = last.value - mean_and_error(values).value
            error = None if last.standard_error is None else math.sqrt(2) * last.standard_error
            found[player] = {"difference": difference, "standard_error": error}
    return found


def describe(found: dict[str, Any]) -> str:
    """Return lines for the terminal."""
    lines = [f"{found['title']}: batch {found['batch_size']}, {found['parameters']:,} parameters each"]
    for trainer, rate in found["images_per_second"].items():
        trained = found["training"][trainer]
        losses = "; ".join(f"{name} {loss:.4g} → {trained['end'][name]:.4g}" for name, loss in trained["begin"].items())
        lines.append(
            f"  {trainer:<14} {rate:9,.0f} images/s   "
            f"weights moved in {trained['steps']} steps by {trained['moved']:.2%}; {losses}"
        )
    for trainer, count in found["flops_per_step"].items():
        limit = found["batch_size"] * 1e9 * found["peak_gflops"] / count
        options = ", ".join(f"{name} = {option}" for name, option in found["step_options"][trainer].items())
        lines.append(
            f"  {trainer:<14} {1e-9 * count:.2f} GFLOP per step; at {found['peak_gflops']:.0f} GFLOP/s "
            f"of a large matrix product at most {limit:,.0f} images/s{'; ' + options if options else ''}"
        )
    for trainer, of in found["ratios"].items():
        clock, busy = of["seconds"], of["processor_seconds"]
        lines.append(
            f"  {trainer:<14} is {clock['median']:.2f} times as fast  "
            f"95% interval [{clock['low']:.2f}, {clock['high']:.2f}]"
            f"  (CPU time {busy['median']:.2f})"
        )
    for player, of in (found["agreement"] or {}).items():
        lines.append(
            f"  {player}: last losses differ by {of['difference']:.3g}, standard error {of['standard_error']:.2g}"
        )
    return "\n".join(lines)


class TrainerProcess:
    """A trainer in a separate process; it trains on request and sleeps otherwise."""

    def __init__(self, case: str, trainer: str, arguments: argparse.Namespace) -> None:
        own = worker_environment()
        spin: dict[str, str] = {name: own[name] for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in own}
        command = [sys.executable, __file__, "--trainer", case, trainer, "--folder", str(arguments.folder)]
        command += ["--device", arguments.device, "--engine", arguments.engine, "--threads", str(arguments.threads)]
        command += ["--step-tuning", arguments.step_tuning]
        command += [] if arguments.workers is None else ["--workers", str(arguments.workers)]
        environment = own if trainer.startswith(GENBENCH) else {**os.environ, **spin}
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, text=True, env=environment
        )
        self.hello = self._read()

    def __enter__(self) -> TrainerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def train(self, steps: int, moved: bool = False) -> dict[str, Any]:
        """Train so many steps and return the answer of the trainer."""
        return self._ask({"steps": steps, "moved": moved})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def count_flops(self) -> int:
        """Return the floating-point operations of a step."""
        return int(self._ask({"count": True})["flops"])

    def check(self, steps: int) -> dict[str, Any]:
        """Train, and return the losses of the first and last steps, and how far the weights moved."""
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
            self._stderr.seek(0)
            output = self._stderr.read().decode(errors="replace")
            raise RuntimeError(f"a trainer exited with status {status}:\n{output[-4000:]}")
        found: dict[str, Any] = json.loads(line)
        return found


def run_trainer(name: str, trainer: str, arguments: argparse.Namespace) -> None:
    """Run one trainer, which trains on request."""
    import importlib

    import example_scripts
    import torch
    from genbench_trainer import GenbenchTrainer
    from trainer import Setting, reserve_stdout, serve

    from genbench.train.torch_setup import set_up_torch

    answers = reserve_stdout()
    if trainer.startswith(GENBENCH):
        set_up_torch(arguments.threads)
    else:
        torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 for every trainer
    torch.manual_seed(0)
    case, device = CASES[name], torch.device(arguments.device)
    setting = Setting(
        model=case.model,
        batch_size=case.batch_size,
        device=device,
        folder=arguments.folder if case.colour else None,
        precision="bf16" if trainer.endswith("-bf16") else "fp32",
        engine=arguments.engine,
        recipe=case.recipe,
        step_tuning=arguments.step_tuning,
        workers=arguments.workers if arguments.workers is not None else case.workers_on_gpu * (device.type == "cuda"),
    )
    scripts = {"vae": example_scripts.VAEScript, "gan": example_scripts.mlp_gan, "dcgan": example_scripts.dcgan}
    if trainer.startswith(GENBENCH):
        make: Any = GenbenchTrainer
    elif trainer == "plain":
        make = scripts[name]
    else:
        module, attribute = LIBRARIES[trainer]
        make = getattr(importlib.import_module(module), attribute)
    serve(make(setting), setting, answers)


if __name__ == "__main__":
    main()
