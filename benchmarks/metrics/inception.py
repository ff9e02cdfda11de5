"""Inception features per second compared with pytorch-fid, interleaved in one process on the same files.

    python benchmarks/metrics/inception.py --out results/reference/inception-features.json

Both read the same PNG files and use the same network with the same random weights: pytorch-fid with its
`get_activations`, genbench with its folder source and `features_of`. Windows alternate in the order ABBA, so that
slowdowns of the machine affect both. The result is the median over blocks of the ratio of times, pytorch-fid /
genbench, with its distribution-free 95% interval. The same ratio of CPU time, which is more reliable on a machine with
other load, and the relative difference of the features are reported as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fid_folders import write_images
from pytorch_fid import fid_score, inception
from random_inception import write_random_weights

from genbench.builtin.extractors import inception as ours
from genbench.builtin.extractors.inception_weights import VARIABLE
from genbench.data.progress import ignore_progress
from genbench.features.extract import features_of
from genbench.imagesets.image_folder import folder_source
from genbench.imagesets.source import ReadReport
from genbench.measure import machine
from genbench.stats.intervals import median_interval

CPU = torch.device("cpu")


def main() -> None:
    """Measure and write the results with the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10, help="ABBA blocks")
    parser.add_argument("--images", type=int, default=100, help="images per window")
    parser.add_argument("--size", type=int, default=64, help="height and width of the files")
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        found = compare(Path(folder), arguments)
    print(
        f"pytorch-fid / genbench {found['ratio']:.3f}  95% interval [{found['low']:.3f}, {found['high']:.3f}]  "
        f"CPU time {found['processor_ratio']:.3f}  "
        f"{1e3 * found['genbench_seconds_per_image']:.1f} ms per image, features differ by {found['difference']:.1e}"
    )
    report = {
        "command": " ".join(["python", *sys.argv]),
        **found,
        "images_per_window": arguments.images,
        "size": arguments.size,
        "batch_size": arguments.batch_size,
        "threads": arguments.threads,
        "machine": machine.describe(),
    }
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


def compare(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the ratio of the times per image from interleaved windows over the same files."""
    weights = write_random_weights(folder / "random.pth")
    os.environ[VARIABLE] = str(weights)
    pictures = write_images(folder / "pictures", arguments.images, arguments.size, seed=0)
    files = sorted(pictures.iterdir())
    state = torch.load(weights, weights_only=True)
    inception.load_state_dict_from_url = lambda *_args, **_kwargs: state
    fid_score.tqdm = iter  # no progress bar
    network, extractor = inception.InceptionV3().eval(), ours.load(CPU)

    def theirs() -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = fid_score.get_activations(files, network, arguments.batch_size, num_workers=0)
        return found

    def own() -> np.ndarray[Any, Any]:
        batches = folder_source(pictures).batches(arguments.batch_size, ReadReport(), ignore_progress)
        return torch.cat(list(features_of(extractor, batches, CPU, arguments.batch_size))).double().numpy()

    expected, found = theirs(), own()  # warms up both
    difference = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    ratios, processor_ratios = [], []
    seconds: dict[str, list[float]] = {"pytorch-fid": [], "genbench": []}
    for block in range(arguments.blocks):
        order = ("genbench", "pytorch-fid", "pytorch-fid", "genbench")
        spent, processor = ({"pytorch-fid": 0.0, "genbench": 0.0} for _ in range(2))
        for name in order if block % 2 else order[2:] + order[:2]:
            begin, busy = time.perf_counter(), time.process_time()
            (theirs if name == "pytorch-fid" else own)()
            spent[name] += (time.perf_counter() - begin) / (2 * arguments.images)
            processor[name] += time.process_time() - busy
        processor_ratios.append(processor["pytorch-fid"] / processor["genbench"])
        ratios.append(spent["pytorch-fid"] / spent["genbench"])
        for name, value in spent.items():
            seconds[name].append(value)
    interval = median_interval(ratios)
    return {
        "ratio": interval.median,
        "low": interval.low,
        "high": interval.high,
        "confidence": interval.confidence,
        "processor_ratio": float(np.median(processor_ratios)),
        "processor_ratios": processor_ratios,
        "difference": difference,
        "genbench_seconds_per_image": float(np.median(seconds["genbench"])),
        "pytorch_fid_seconds_per_image": float(np.median(seconds["pytorch-fid"])),
        "ratios": ratios,
        "seconds_per_image": seconds,
    }


if __name__ == "__main__":
    main()
