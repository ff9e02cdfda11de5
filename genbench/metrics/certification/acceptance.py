"""Checking a fast path of an extractor: the distance between fast and exact features of the same images.

It must be below a tenth of the standard error of the distance of as many real images. No samples have a smaller
standard error than real images, so a path that passes here is accurate enough for samples too.
"""

from __future__ import annotations

import math
import statistics as medians
import time
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.api.evaluation import Extractor
from genbench.features.extract import extract, reproducible
from genbench.features.fast_extractor import Precision, fast
from genbench.gate.extractor_acceptance import Acceptance
from genbench.measure.clock import synchronise
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.feature_sets import reference_space
from genbench.metrics.frechet import frechet_distance, jackknife_distance, statistics
from genbench.metrics.standard_errors import make_blocks

ROUNDS = 5  # of exact, fast, fast, exact


def compare(
    evaluation: CellEvaluation,
    extractor: str,
    dataset: str,
    data_hash: str,
    precision: Precision,
    compiled: bool,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Acceptance:
    """Compare fast with exact features of an evaluation's samples: at least three held-out images."""
    exact = evaluation.extractor(extractor)
    quick = fast(exact, evaluation.device, precision, compiled)
    pixels = torch.as_tensor(evaluation.samples.pixels)
    transform, reference = reference_space(evaluation, extractor)
    features = transform(evaluation.features(extractor, "samples"))
    fast_features = transform(extract(quick, pixels, evaluation.device, evaluation.batch_size))
    blocks = make_blocks(len(features), evaluation.generator(f"jackknife of {extractor}"))
    exact_statistics, difference, fast_distance = statistics(features), math.inf, math.inf
    if bool(fast_features.isfinite().all()):
        fast_statistics = statistics(fast_features)
        difference = frechet_distance(fast_statistics, exact_statistics)
        fast_distance = frechet_distance(fast_statistics, reference)
    return Acceptance(
        extractor=exact.name,
        dataset=dataset,
        data_hash=data_hash,
        precision=precision,
        compiled=compiled,
        n=len(features),
        difference=difference,
        distance=frechet_distance(exact_statistics, reference),
        standard_error=jackknife_distance(features, reference, blocks).standard_error,
        fast_distance=fast_distance,
        speedup=_speedup(exact, quick, pixels[: evaluation.batch_size], evaluation.device, clock),
        device=evaluation.device.type,
    )


def _speedup(
    exact: Extractor, quick: Extractor, pixels: Tensor, device: torch.device, clock: Callable[[], int]
) -> float:
    """Return the ratio of median times of one batch; calls alternate, so that other load affects both alike."""
    times: dict[bool, list[int]] = {False: [], True: []}
    with torch.inference_mode(), reproducible():
        pixels = pixels.to(device)
        for is_fast in (False, True, *(False, True, True, False) * ROUNDS):
            synchronise(device)
            begin = clock()
            (quick if is_fast else exact)(pixels)
            synchronise(device)
            times[is_fast].append(clock() - begin)
    slow, fast_times = (medians.median(times[is_fast][1:]) for is_fast in (False, True))  # the first warms up
    return slow / fast_times if fast_times else math.inf
