"""The time of KID and PRDC in later evaluations, when the part of the training images is known: how much it saves.

    python benchmarks/metrics/reference_parts.py --out results/reference/reference-parts.json

Each evaluation during training measures other samples against the same images. The part that depends on these alone
(the kernel or the distances between all pairs of them) is computed in the first evaluation and kept. Times are of one
evaluation of random features; the ratio is that of the medians. On a CPU they are processor times, which other programs
disturb less than the clock. `--device cuda` measures there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from genbench.features.placement import computed_on
from genbench.measure import machine
from genbench.measure.accelerator import accelerator_name, select_device
from genbench.measure.capabilities import is_accelerator
from genbench.measure.clock import synchronise
from genbench.metrics.kernel_distance import kernel_distance, mean_of_pairs
from genbench.metrics.manifolds import overlap, radii
from genbench.metrics.standard_errors import make_blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="training images")
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = select_device(given.device)
    rng = torch.Generator().manual_seed(0)
    train, samples = (
        torch.randn(count, given.features, generator=rng, dtype=torch.float64)
        for count in (given.images, given.samples)
    )
    blocks = make_blocks(given.samples, rng)
    own = computed_on(device, mean_of_pairs, train)
    own_radii = computed_on(device, lambda real: radii(real).cpu(), train)

    def kid(known: float | None) -> object:
        return computed_on(device, lambda x, y: kernel_distance(x, y, blocks, own_pairs=known), samples, train)

    def prdc(known: Tensor | None) -> object:
        if known is None:
            return computed_on(device, lambda x, y: overlap(y, x, blocks), samples, train)
        return computed_on(device, lambda x, y, r: overlap(y, x, blocks, real_radii=r), samples, train, known)

    rows = []
    for name, first, later in (
        ("kid", lambda: kid(None), lambda: kid(own)),
        ("prdc", lambda: prdc(None), lambda: prdc(own_radii)),
    ):
        assert first() == later(), name
        seconds: dict[str, list[float]] = {"first": [], "later": []}
        for number in range(given.rounds):
            order = [("first", first), ("later", later)]
            for kind, evaluate in order if number % 2 else reversed(order):
                seconds[kind].append(timed(evaluate, device))
        medians = {kind: statistics.median(taken) for kind, taken in seconds.items()}
        rows.append({"metric": name, **seconds, "ratio": medians["first"] / medians["later"]})
        print(f"{name}: first {medians['first']:.3g} s, later {medians['later']:.3g} s, {rows[-1]['ratio']:.3g} times")
    report = {
        "command": "python benchmarks/metrics/reference_parts.py --out results/reference/reference-parts.json",
        "machine": machine.processor(),
        "device": accelerator_name(device) or "cpu",
        "threads": given.threads,
        "torch": str(torch.__version__),
        **{key: getattr(given, key) for key in ("images", "samples", "features", "rounds")},
        "rows": rows,
    }
    if given.out:
        given.out.write_text(json.dumps(report, indent=1) + "\n")


def timed(evaluate: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of an evaluation."""
    clock = time.perf_counter if is_accelerator(device) else time.process_time
    synchronise(device)
    begin = clock()
    evaluate()
    synchronise(device)
    return clock() - begin


if __name__ == "__main__":
    main()
