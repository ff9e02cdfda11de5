"""Stored runs for tests: cells, references and plans with every field that a table can show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from genbench.api.evaluation import Estimate
from genbench.results.schema import (
    CellIdentity,
    CellResult,
    Choice,
    Comparability,
    CurvePoint,
    Durations,
    Memory,
    PlannedCell,
    PluginOrigin,
    Proof,
    ReferenceResult,
    ReferenceRow,
    RunRecord,
    Throughput,
    Window,
)
from genbench.results.store import RunDirectory

PROTOCOL: dict[str, str | int | float | bool] = {"weights": "1f0c", "n_reference": 8000}


def choice(name: str, **options: Any) -> Choice:
    return Choice(
        name=name, options=options, origin=PluginOrigin(plugin="builtin", distribution="genbench", version="1")
    )


def estimate(metric: str, value: float, error: float | None = 0.5, **changes: Any) -> Estimate:
    fields = {"n": 2000, "direction": "lower", "protocol": PROTOCOL} | changes
    return Estimate(metric, value, error, **fields)


def identity(model: str = "gan", loss: str = "non-saturating", dataset: str = "mini", **changes: Any) -> CellIdentity:
    recipe = {"batch_size": 32, "images": 60_000, "learning_rate": 2e-4, "precision": "fp32", "engine": "eager"}
    fields: dict[str, Any] = {
        "identity_version": 1,
        "model": choice(model, width=64),
        "family": choice("adversarial"),
        "loss": choice(loss),
        "dataset": choice(dataset),
        "image_shape": (1, 28, 28),
        "latent_dim": 100,
        "recipe": recipe | changes.pop("recipe", {}),
        "device": "cpu",
        "seed": 0,
        "metrics": ("fd-cnn",),
        "genbench": "0.1.0",
    }
    return CellIdentity(**fields | changes)


def comparability(**changes: Any) -> Comparability:
    fields: dict[str, Any] = {
        "machine": "AMD EPYC",
        "cores": 2.0,
        "threads": 2,
        "torch": "2.15",
        "python": "3.12",
        "precision": "fp32",
        "engine": "eager",
        "data_hash": "d" * 64,
    }
    return Comparability(**fields | changes)


def cell(id: str = "gan-1", asked: CellIdentity | None = None, speed: float = 1234.5, **changes: Any) -> CellResult:
    low, high = 0.98 * speed, 1.01 * speed
    fields: dict[str, Any] = {
        "id": id,
        "identity": asked or identity(id.partition("-")[0]),
        "status": "ok",
        "comparability": comparability(),
        "parameters": {"generator": 3_000_000, "discriminator": 576_704},
        "steps": 1875,
        "images": 60_000,
        "windows": [
            Window(step=10 * n, steps=10, images=320, seconds=0.25 + 0.01 * (n % 3), warmup=n == 1)
            for n in range(1, 21)
        ],
        "curves": [
            CurvePoint(
                step=10 * n, images=320 * n, terms={"discriminator": 1.4 / n, "generator": None if n == 9 else 0.1 * n}
            )
            for n in range(1, 21)
        ],
        "throughput": Throughput(
            images_per_second=speed, low=low, high=high, confidence=0.96, windows=19, steps_per_second=speed / 32
        ),
        "memory": Memory(peak_rss=512 * 2**20),
        "proof": Proof(trained=True, phase_updates={"discriminator": 1875, "generator": 1875}),
        "estimates": [estimate("fd-cnn", 34.5678, 0.6543)],
        "durations": Durations(train=48.0, total=61.25),
    }
    return CellResult(**fields | changes)


def reference(dataset: str = "mini", **changes: Any) -> ReferenceResult:
    fields: dict[str, Any] = {
        "id": f"{dataset}-ref",
        "dataset": choice(dataset),
        "image_shape": (1, 28, 28),
        "rows": [
            ReferenceRow(name="real held-out", estimates=[estimate("fd-cnn", 1.25, 0.043)]),
            ReferenceRow(name="noise", estimates=[estimate("fd-cnn", 912.3, 4.1)]),
        ],
    }
    return ReferenceResult(**fields | changes)


def plan(*cells: CellResult | PlannedCell, **changes: Any) -> RunRecord:
    planned = [
        c if isinstance(c, PlannedCell) else PlannedCell(id=c.id, identity=c.identity, changed=[]) for c in cells
    ]
    fields: dict[str, Any] = {
        "created": "2025-01-01T00:00:00Z",
        "genbench": "0.1.0",
        "profile": "quick",
        "cells": planned,
    }
    return RunRecord(**fields | changes)


def stored(path: Path, *cells: CellResult | PlannedCell, references: tuple[ReferenceResult, ...] = ()) -> RunDirectory:
    """Write a run with these cells; those that are only planned have no file."""
    run = RunDirectory.create(path, plan(*cells))
    for result in cells:
        if isinstance(result, CellResult):
            run.write_cell(result)
    for rows in references:
        run.write_reference(rows)
    return run


def changed(result: CellResult, **changes: Any) -> CellResult:
    return msgspec.structs.replace(result, **changes)
