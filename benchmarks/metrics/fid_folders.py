"""`genbench fid` compared with pytorch-fid, torch-fidelity and clean-fid, as processes, on two folders of PNG files.

    python benchmarks/metrics/fid_folders.py --images 5000 --memory 5000,50000 --out results/reference/fid-folders.json

The network has random weights, the same file for all: pytorch-fid and clean-fid find it in $TORCH_HOME under the
published name, and do not check the hash of an existing file. clean-fid has the mode `legacy_pytorch`, which resizes
like pytorch-fid; torch-fidelity resizes like TensorFlow, so its value is another. Runs alternate, in reverse order in
every other round: cold, with nothing cached, and with a cached reference: pytorch-fid reads the .npz that its own
--save-stats wrote, genbench the cache that its cold run has filled. Each result is the median over the rounds.

Peak memory (`ru_maxrss` of the process) is that of `genbench fid` for each number of images in `--memory`, with a
network that takes no time, because only features could accumulate.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genbench.builtin.extractors.inception_weights import FILE_NAME
from genbench.measure import machine

GENBENCH = (sys.executable, "-m", "genbench", "fid")
PYTORCH_FID = (sys.executable, "-m", "pytorch_fid", "--num-workers")
FUNCTIONS = {  # other peers, called as functions: with the folders, the weights and the number of worker processes
    "torch-fidelity": """
import sys, torch_fidelity
first, second, weights, workers = sys.argv[1:]
print("FID:", torch_fidelity.calculate_metrics(
    input1=first, input2=second, fid=True, cuda=False, cache=False, verbose=False, batch_size=50,
    feature_extractor_weights_path=weights, num_workers=int(workers),
)["frechet_inception_distance"])
""",
    "clean-fid": """
import sys, torch
from cleanfid import fid
first, second, weights, workers = sys.argv[1:]
print("FID:", fid.compute_fid(
    first, second, mode="legacy_pytorch", num_workers=int(workers), batch_size=50, device=torch.device("cpu"),
    use_dataparallel=False, verbose=False,
))
""",
}

# 2048 features, as Inception has, from a matrix product.
PLUGIN = """
import genbench
import torch


class Wide:
    name, whiten, protocol = "fd-wide", False, {"weights_sha256": "wide"}

    def __init__(self):
        self.projection = torch.randn(12, 2048, generator=torch.Generator().manual_seed(0))
        self.noise = torch.randn(256, 2048, generator=torch.Generator().manual_seed(1))

    def __call__(self, pixels):
        small = torch.nn.functional.adaptive_avg_pool2d(pixels.float() / 255, 2).flatten(1)
        return small @ self.projection + self.noise[pixels[:, 0, 0, 0].long()]


@genbench.hookimpl
def genbench_extractors():
    yield genbench.ExtractorSpec(name="wide", load=lambda device: Wide())
"""


def main() -> None:
    """Measure and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="images per folder")
    parser.add_argument("--size", type=int, default=64, help="height and width of the files")
    parser.add_argument(
        "--peers", default="pytorch-fid,torch-fidelity,clean-fid", help="compared when nothing is cached"
    )
    parser.add_argument("--kinds", default="cold,cached", help="cold, cached")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, default=0, help="worker processes of pytorch-fid, whose own default is up to 8"
    )
    parser.add_argument("--memory", default="5000,50000", help="numbers of images to measure memory with; empty: none")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    from random_inception import write_random_weights

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = write_random_weights(folder / "torch" / "hub" / "checkpoints" / FILE_NAME)
        shutil.copy(weights, folder / "random.pth")  # genbench rejects weights whose hash does not match their name
        folders = [
            write_images(folder / side, arguments.images, arguments.size, seed) for seed, side in enumerate("ab")
        ]
        report = compare(folder, folders, arguments)
        if arguments.memory:
            report["peak_bytes"] = {
                n: measure_peak_memory(folder, int(n), arguments.size) for n in arguments.memory.split(",")
            }
    for kind in ("cold", "cached"):
        of = report["seconds"].get(kind, {})
        for peer, ratio in report["ratios"].get(kind, {}).items():
            print(
                f"{kind:<7} {peer} {statistics.median(of[peer]):7.1f} s   "
                f"genbench {statistics.median(of['genbench']):7.1f} s   ratio {ratio:.2f}"
            )
    print(f"values differ by {report['differences']}; peak memory {report.get('peak_bytes')}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(folder: Path, folders: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of every process, the ratios of their medians, and the difference of the values."""
    kinds = arguments.kinds.split(",")
    seconds: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    values: dict[str, float] = {}
    environment = {**os.environ, "TORCH_HOME": str(folder / "torch"), "GENBENCH_CACHE": str(folder / "cache")}
    pytorch_fid = (*PYTORCH_FID, str(arguments.workers))
    weights, both = str(folder / "random.pth"), tuple(map(str, folders))
    own = (*GENBENCH, *both, "--weights", weights, "--device", "cpu", "--json")
    theirs = folder / "a.npz"
    if "cached" in kinds:
        timed((*pytorch_fid, "--save-stats", both[0], str(theirs)), environment)
    functions = {
        name: (sys.executable, "-c", code, *both, weights, str(arguments.workers)) for name, code in FUNCTIONS.items()
    }
    every: dict[str, tuple[str, ...]] = {"pytorch-fid": (*pytorch_fid, *both), **functions}
    cold = {name: every[name] for name in arguments.peers.split(",") if name}
    commands: dict[str, dict[str, tuple[str, ...]]] = {
        "cold": cold,
        "cached": {"pytorch-fid": (*pytorch_fid, str(theirs), both[1])},
    }
    for number in range(arguments.rounds):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for kind in kinds:
            order = {**commands[kind], "genbench": own}
            for name in reversed(order) if number % 2 else order:
                spent, out = timed(order[name], environment)
                seconds[kind].setdefault(name, []).append(spent)
                values[name] = parse_distance(out)
                print(f"round {number}, {kind}, {name}: {spent:.1f} s, {values[name]:.6g}", flush=True)
    ours = values.pop("genbench")
    return {
        "command": " ".join(["python", *sys.argv]),
        "images": arguments.images,
        "size": arguments.size,
        "workers": arguments.workers,
        "seconds": seconds,
        "ratios": {
            kind: {
                name: statistics.median(series) / statistics.median(of["genbench"])
                for name, series in of.items()
                if name != "genbench"
            }
            for kind, of in seconds.items()
        },
        "differences": {name: abs(ours / value - 1) for name, value in values.items()},
        "machine": machine.describe(),
    }


def timed(command: tuple[str, ...], environment: dict[str, str]) -> tuple[float, str]:
    """Return the seconds that a process took and its output; exit if it failed."""
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    spent = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return spent, done.stdout


def parse_distance(printed: str) -> float:
    """Return the distance in the output of either program."""
    if printed.lstrip().startswith("{"):
        return float(json.loads(printed)["estimates"][0]["value"])
    found = re.search(r"FID:\s*(\S+)", printed)
    if found is None:
        raise SystemExit(f"pytorch-fid printed no distance: {printed}")
    return float(found[1])


def measure_peak_memory(folder: Path, count: int, size: int) -> int:
    """Return the peak memory in bytes of `genbench fid` on two folders of so many images."""
    plugin = folder / "wide.py"
    plugin.write_text(PLUGIN)
    folders = [write_images(folder / f"{side}-{count}", count, size, seed) for seed, side in enumerate("ab")]
    command = (*GENBENCH, *map(str, folders), "--extractor", "wide", "--plugin", str(plugin), "--device", "cpu")
    environment = {**os.environ, "GENBENCH_CACHE": str(folder / f"cache-{count}")}
    code = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
        "print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], env=environment, capture_output=True, text=True)
    status, kib = done.stdout.split()
    if status != "0":
        raise SystemExit(f"genbench fid failed:\n{done.stderr}")
    for side in folders:
        shutil.rmtree(side)
    return 1024 * int(kib)


def write_images(folder: Path, count: int, size: int, seed: int) -> Path:
    """Write colour images of smooth noise as PNG files, which are about as large as those of photographs."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        coarse = rng.integers(0, 256, (size // 8 + 1, size // 8 + 1, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:06}.png", compress_level=1)
    return folder


if __name__ == "__main__":
    main()
