"""The deviation of each engine from eager fp32: 20 steps of every built-in model, from the same state.

    python benchmarks/engine_equivalence.py --out results/reference/engine-equivalence.json

For each model, engine and precision it reports the deviations that cells are checked for (defined in
genbench/train/engines/equivalence.py) and the tolerances. There are two controls: a second eager run, which in fp32 on
a CPU is identical bit for bit, and the shadow, an eager run from weights that are rounded differently.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from worker_settings import apply_worker_settings

from genbench.data.loading import load_data
from genbench.measure import machine
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, discover
from genbench.runner.compile_cache import keep_compiled_code
from genbench.train.builder import build_cell
from genbench.train.engine import Eager, Engine
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.engines.equivalence import (
    CONTROL_FACTOR,
    QUANTITIES,
    STEPS,
    TOLERANCES,
    check_execution,
    eager_trajectories,
    measure_deviation,
    record_trajectory,
)
from genbench.train.engines.memory_format_choice import choose_memory_format

OTHER_DATA = {"resnet-gan": {"datasets": "synthetic", "set": ["synthetic.size=32"]}}  # does not accept images of 28×28


def main() -> None:
    """Measure every model and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="", help="comma-separated names [default: all built-in models]")
    parser.add_argument("--engines", default="compile", help="comma-separated; on a GPU also graph,graph+compile")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    apply_worker_settings(arguments.threads)
    keep_compiled_code()
    catalogue, device = discover(), torch.device(arguments.device)
    models = arguments.models.split(",") if arguments.models else list(catalogue.entries("models"))
    rows: list[dict[str, Any]] = []
    for model in models:
        for precision in arguments.precisions.split(","):
            for row in measure(model, precision, arguments.engines.split(","), catalogue, device, arguments.batch_size):
                rows.append(row)
                print(_line(row), flush=True)
    written = {
        "command": " ".join(["python", *sys.argv]),
        "steps": STEPS,
        "batch_size": arguments.batch_size,
        "machine": machine.processor(),
        "device": arguments.device,
        "threads": arguments.threads,
        "versions": machine.versions(),
        "further": CONTROL_FACTOR,
        "tolerances": {name: {what: getattr(least, what) for what in QUANTITIES} for name, least in TOLERANCES.items()},
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def measure(
    model: str, precision: str, engines: list[str], catalogue: Catalogue, device: torch.device, batch_size: int
) -> Iterator[dict[str, Any]]:
    """Yield the deviations from eager fp32 of the two controls and of each engine."""
    engine = make_engine(model, precision, catalogue, device, batch_size)
    eager = eager_trajectories(engine)
    again = record_trajectory(engine, Eager(), precision)
    for name, trajectory in (("eager", again), ("shadow", eager.control)):
        control = measure_deviation(trajectory, eager.reference)
        bounds = {what: {"found": getattr(control, what)} for what in QUANTITIES}
        yield {"model": model, "engine": name, "precision": precision, "bounds": bounds}
    for name in engines:
        torch._dynamo.reset()
        gc.collect()
        row: dict[str, Any] = {"model": model, "engine": name, "precision": precision}
        begin = time.perf_counter()
        try:
            execution = open_execution(name, engine)
        except EngineUnavailable as reason:
            yield row | {"unavailable": str(reason)}
            continue
        row |= {"prepare_seconds": time.perf_counter() - begin, "notes": list(execution.notes)}
        check = check_execution(engine, execution, eager)
        execution.close()
        yield row | {"bounds": {bound.what: msgspec.to_builtins(bound) for bound in check.bounds}}


def make_engine(model: str, precision: str, catalogue: Catalogue, device: torch.device, batch_size: int) -> Engine:
    """Return the engine of a new cell on real images."""
    given: dict[str, Any] = {"models": model, "profile": "smoke", "batch_size": batch_size, "precision": precision}
    given |= OTHER_DATA.get(model, {})
    settings = given.pop("set", [])
    identity = make_plan(make_request(given, settings), catalogue, device.type).cells[0].identity
    data = load_data(identity.dataset, identity.image_shape, catalogue)
    engine = build_cell(identity, catalogue, data, device).engine
    choose_memory_format(engine)
    return engine


def _line(row: dict[str, Any]) -> str:
    name = f"{row['model']:<12} {row['engine']:<13} {row['precision']}"
    if "unavailable" in row:
        return f"{name}  unavailable: {row['unavailable']}"
    bounds = (
        f"{what} {bound['found']:.1e}" + (f" of {bound['tolerance']:.1e}" if "tolerance" in bound else "")
        for what, bound in row["bounds"].items()
    )
    return f"{name}  {', '.join(bounds)}  {row.get('prepare_seconds', 0):.1f} s {' '.join(row.get('notes', []))}"


if __name__ == "__main__":
    main()
