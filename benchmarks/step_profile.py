"""Where the time of a step goes on one core: operators with their shares, and the speed of its products.

    python benchmarks/step_profile.py --out results/reference/step-profile.json

For each cell, in fp32 and on one thread: the processor time of a step, its floating-point operations, and their
quotient as a share of the speed of a large matrix product on the same core; the operators that take the most time
themselves; and for each shape of its linear layers the speed of the three products of a step (output, gradient of the
inputs, gradient of the weights), by the BLAS of torch and by oneDNN. Processor time is used because other load does not
count in it; other load still empties caches.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from step_tuning import build
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from worker_settings import apply_worker_settings

from genbench.measure import machine
from genbench.plugins.catalogue import discover
from genbench.train.engine import Engine

ROWS = 8  # operators that are listed


def main() -> None:
    """Profile every cell, print the findings and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="vae:128,gan:64,dcgan:64:64", help="MODEL:BATCH[:SIDE], with commas")
    parser.add_argument("--seconds", type=float, default=1.0, help="processor time of each measurement of a step")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    apply_worker_settings(1)
    catalogue = discover()
    square = torch.randn(1536, 1536)
    peak = gflops(2 * 1536**3, lambda: square @ square)
    print(f"{machine.describe()['processor']}: a large product {peak:.0f} GFLOP/s on one core", flush=True)
    report: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine.describe(),
        "peak_gflops": peak,
    }
    cells: dict[str, Any] = report.setdefault("cells", {})
    for cell in arguments.cells.split(","):
        model, batch, *rest = cell.split(":")
        engine = build(model, int(batch), int(rest[0]) if rest else 28, "fp32", catalogue)
        cells[cell] = found = profiled(engine, arguments.seconds)
        of_peak = found["gflop"] / found["seconds"] / peak
        print(
            f"{cell}: {1e3 * found['seconds']:.1f} ms, {found['gflop']:.2f} GFLOP: {of_peak:.0%} of the large product"
        )
        print("  " + ", ".join(f"{name} {share:.0%}" for name, share in found["operators"].items()))
        found["linear"] = {}
        for shape in linear_shapes(engine, int(batch)):
            found["linear"]["×".join(map(str, shape))] = speeds = products(*shape)
            print(
                f"  {shape}: " + ", ".join(f"{name} {speed:.0f} GFLOP/s" for name, speed in speeds.items()), flush=True
            )
    report["load_average"] = machine.load_average()
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def profiled(engine: Engine, seconds: float) -> dict[str, Any]:
    """Return processor seconds and GFLOP of a step, and the share of each of the slowest operators."""
    with FlopCounterMode(display=False) as counter:
        engine.step()
    taken = 1e-9 * counter.get_total_flops() / gflops(counter.get_total_flops(), engine.step, seconds)
    steps = max(1, round(0.3 * seconds / taken))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            engine.step()
    engine.read_terms()
    operators = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in operators)
    shares = {row.key: row.self_cpu_time_total / total for row in operators[:ROWS]}
    return {"seconds": taken, "gflop": 1e-9 * counter.get_total_flops(), "operators": shares}


def linear_shapes(engine: Engine, batch: int) -> list[tuple[int, int, int]]:
    """Return (images, inputs, outputs) of the linear layers, each shape once."""
    layers = (module for network in engine.networks.values() for module in network.modules())
    found = ((batch, layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear))
    return list(dict.fromkeys(found))


def products(images: int, inputs: int, outputs: int) -> dict[str, float]:
    """Return the GFLOP/s of the products of a linear layer by the BLAS and by oneDNN."""
    x, weight, gradient = torch.randn(images, inputs), torch.randn(outputs, inputs), torch.randn(images, outputs)

    def onednn(left: Tensor, right: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
        return found

    calls: dict[str, Callable[[], Tensor]] = {
        "output, BLAS": lambda: nn.functional.linear(x, weight),
        "output, oneDNN": lambda: onednn(x, weight),
        "of inputs, BLAS": lambda: gradient @ weight,
        "of inputs, oneDNN": lambda: onednn(gradient, weight.t()),
        "of weights, BLAS": lambda: gradient.t() @ x,
        "of weights, oneDNN": lambda: onednn(gradient.t(), x.t()),
    }
    return {name: gflops(2 * images * inputs * outputs, call) for name, call in calls.items()}


def gflops(operations: int, call: Callable[[], object], seconds: float = 0.2, rounds: int = 3) -> float:
    """Return 10⁹ operations per second of processor time, the best of some rounds that take this long together."""
    call()
    begin = time.process_time()
    call()
    count = max(1, round(seconds / rounds / max(1e-6, time.process_time() - begin)))
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(count):
            call()
        taken.append((time.process_time() - begin) / count)
    return 1e-9 * operations / min(taken)


if __name__ == "__main__":
    main()
