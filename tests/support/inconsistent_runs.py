"""A stored run in which every field of a cell's result, of the plan and of the reference rows has a value."""

from __future__ import annotations

from pathlib import Path

import msgspec
from example_runs import cell, changed, choice, estimate, identity, plan, reference

from genbench.api.evaluation import Unavailable
from genbench.api.recipe import Recipe
from genbench.results.schema import (
    Best,
    CellResult,
    Counters,
    Distributed,
    Energy,
    EngineBound,
    EngineCheck,
    EngineRecord,
    EngineTrial,
    EvaluationPoint,
    GpuState,
    PlannedCell,
    PlannedReference,
    PluginOrigin,
    Provenance,
    Rendezvous,
    Roofline,
    RunRecord,
    Surroundings,
    Target,
    Transfer,
)
from genbench.results.store import RunDirectory


def full_cell(id: str = "gan-1", seed: int = 0) -> CellResult:
    """Return a result in which every field has a value."""
    base = cell(id)
    estimates = [estimate("fd-cnn", 34.5, debiased=30.5, null=5.5), estimate("psnr", 17.0, direction="higher")]
    recipe = {**Recipe().settings, **base.identity.recipe, "nproc": 2, "evaluate_every": 320, "best_metric": "fd-cnn"}
    origin = PluginOrigin(plugin="other", distribution="other", version="1")
    gpu = GpuState(sm_clock=1000, temperature=50, power=90.5, throttled=["heat"], other_processes=1)
    bound = EngineBound(what="losses", of="generator", found=0.001, tolerance=0.01)
    check = EngineCheck(steps=5, precision="fp32", bounds=[bound])
    trial = EngineTrial(engine="graph", outcome="slower", reason="slow", check=check, seconds_per_step=[0.1, 0.2])
    return changed(
        base,
        identity=identity("gan", seed=seed, recipe=recipe, metrics=("fd-cnn",), metric_origins={"fd-cnn": origin}),
        reason="a reason",
        engine=EngineRecord(asked="auto", used="eager", reason="faster", trials=[trial]),
        provenance=Provenance(
            started="2025-01-01T00:00:00Z",
            finished="2025-01-01T00:01:00Z",
            host="Linux",
            resumed_at_step=10,
            versions={"torch": "2.15"},
            load_average=[0.5, 0.6],
        ),
        total_parameters={"generator": 3_000_000, "discriminator": 600_000},
        frozen=["discriminator.0.weight"],
        classes=2,
        class_names=["a", "b"],
        transfer=Transfer(source="x.safetensors", taken=["a"], missing=["b"], unused=["c"], mismatched=["d"]),
        distributed=Distributed(processes=2, backend="gloo", batch=32, threads=1, start_seconds=1.5),
        flops_per_image=1e9,
        counters=Counters(operations=246.0, host_reads=1.0, waits={"item at x.py:3": 1.0}, kernel_launches=12.0),
        roofline=Roofline(peak=1e12, product="1024 fp32", mfu=0.3, launch_bound=0.1),
        surroundings=Surroundings(own=0.9, others=0.1, stolen=0.0, gpu_before=gpu, gpu_after=gpu),
        flops_per_sample=2e9,
        samples_per_second=300.0,
        energy=Energy(joules=3.0, seconds=5.0, images=100, joules_per_image=0.03, source="RAPL"),
        sampling={"weights": "raw", "batch_norm": "running averages"},
        estimates=estimates,
        unavailable=[Unavailable("kd-cnn", "too few images")],
        evaluations=[EvaluationPoint(step=n * 10, images=n * 320, estimates=estimates) for n in (1, 2)],
        best=Best(metric="fd-cnn", step=10, images=320, estimates=estimates),
        notes=["a note"],
    )


def full_plan(*cells: CellResult) -> RunRecord:
    """Return the plan of these cells, in which every field has a value."""
    return plan(
        *(PlannedCell(id=result.id, identity=result.identity, variant="plain") for result in cells),
        command=["genbench", "run"],
        directory="..",
        references=[
            PlannedReference(
                id="mini-ref", dataset=choice("mini"), image_shape=(1, 28, 28), metrics=("fd-cnn",), samples=2000
            )
        ],
        targets=[Target(metric="fd-cnn", value=40.0, direction="lower")],
        plugin_files=["plugin.py"],
        plugin_hashes=["0" * 64],
        reporters=[choice("tracker", interval=3)],
        timeout=100.0,
        memory_limit=4.0,
        threads=2,
        rendezvous=Rendezvous(endpoint="localhost:29400"),
        environment={"device": "cpu", "cpu": "AMD", "commits": {"genbench": {"commit": "0123456789", "dirty": True}}},
    )


def full_run(path: Path) -> RunDirectory:
    """Write a run of three cells, two of which differ only in their seed."""
    cells = [full_cell("gan-1"), full_cell("gan-2", seed=1), cell("vae-1")]
    run = RunDirectory.create(path, full_plan(*cells))
    for result in cells:
        run.write_cell(result)
    run.write_reference(msgspec.structs.replace(reference(), data_hash="d" * 64, notes=["a note"]))
    return run
