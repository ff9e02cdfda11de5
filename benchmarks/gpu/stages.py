"""What a machine with a GPU owes on its first day, in order: does it run, is it true, does it replay, how fast.

Each stage is one command and a judgement of what it wrote. The last flag of a name wins, so `rehearsal` shortens the
command for a try on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

RUNS, TRUE, REPLAYS, FAST = "does it run", "is it true", "does it replay", "how fast"
GENBENCH = ("-m", "genbench")

NO_DEVICE = "There is no device"  # says the stage `machine`; then no other stage can tell anything

# Python's arguments for the stage `machine`: the only facts that a report about a GPU cannot do without.
_MACHINE = (
    f"NO_DEVICE = {NO_DEVICE!r}"
    + """
import json, sys
import torch
from genbench.measure import machine
from genbench.measure.accelerator import accelerator_name, devices, driver_version, select_device
asked = sys.argv[sys.argv.index("--device") + 1]
found = devices(asked)
reasons = [] if asked == "cpu" else [found[key] for key in found if key.endswith("_reason") and found[key]]
if reasons:
    sys.exit(f"{NO_DEVICE} {asked}: {reasons[0]}.")
device = select_device(asked)
float(torch.ones(8, device=device).sum())
print(json.dumps({"gpu": accelerator_name(device), "driver": driver_version(device), "torch": torch.__version__,
                  "cuda": torch.version.cuda, **machine.describe()}))
"""
)


def _nothing(result: Any) -> str:
    """Accept whatever came, because the exit code says all."""
    return ""


def _doctor(result: Any) -> str:
    failed = [check["name"] for check in result["checks"] if check["status"] == "failed"]
    return f"failed: {', '.join(failed)}" if failed else ""


def _applied(result: Any) -> str:
    """Require that every check applied, and passed."""
    absent = [check["name"] for check in result["checks"] if check["status"] == "not applicable"]
    return _doctor(result) or (f"not applicable: {', '.join(absent)}" if absent else "")


def _cells(result: Any) -> str:
    wrong = [f"{cell['model']} is {cell['status']}" for cell in result if cell["status"] != "ok"]
    return ", ".join(wrong) if result else "no cell"


def _graphs(result: Any) -> str:
    other = [f"{cell['model']} was trained by {cell['engine']}" for cell in result if cell["engine"] != "graph"]
    return _cells(result) or ", ".join(other)


def _equivalent(result: Any) -> str:
    engines = [row for row in result["rows"] if row["engine"] not in ("eager", "shadow")]
    wrong = [
        f"{row['engine']} of {row['model']} in {row['precision']}"
        for row in engines
        if "unavailable" in row or any(bound["found"] > bound["tolerance"] for bound in row["bounds"].values())
    ]
    return f"deviates or is unavailable: {', '.join(wrong)}" if wrong else ("" if engines else "no engine was compared")


def _peers(result: Any) -> str:
    """Require that both sides of the VAE have the same loss, within four standard errors."""
    found = result["cases"]["vae"].get("agreement", {}).values()
    apart = [one for one in found if abs(one["difference"]) > 4 * one["standard_error"]]
    return "the trainers do not reach the same loss" if apart else ""


@dataclass(frozen=True)
class Stage:
    """One command, run by Python with ``--device D`` added."""

    name: str
    theme: str
    question: str
    arguments: tuple[str, ...]
    seconds: float  # time limit
    rehearsal: tuple[str, ...] = ()  # further arguments for a short try
    judge: Callable[[Any], str] = _nothing  # returns what is wrong with the result
    accepted: tuple[int, ...] = (0,)  # exit codes
    on_cpu: bool = True  # whether there is something to rehearse without a GPU
    writes: str = "stdout"  # where the JSON is: 'stdout', 'out' (a file, --out) or 'run' (a run directory, --out)


def _doctor_stage(name: str, theme: str, question: str, only: str, seconds: float, **more: Any) -> Stage:
    command = (*GENBENCH, "doctor", "--json", *(("--only", only) if only else ("--quick",)))
    return Stage(
        name,
        theme,
        question,
        command,
        seconds,
        judge=more.pop("judge", _doctor),
        **more,
    )


def _run_stage(name: str, theme: str, question: str, flags: str, seconds: float, **more: Any) -> Stage:
    common = (*GENBENCH, "run", "--metrics", "none", "--reporters", "none", *flags.split())
    tiny = ("--profile", "smoke", "--images", "64", "--models", "vae", "--samples", "16", *more.pop("rehearsal", ()))
    return Stage(
        name,
        theme,
        question,
        common,
        seconds,
        tiny,
        judge=more.pop("judge", _cells),
        writes="run",
        **more,
    )


def _benchmark(name: str, theme: str, question: str, command: str, seconds: float, tiny: str, **more: Any) -> Stage:
    return Stage(name, theme, question, tuple(command.split()), seconds, tuple(tiny.split()), writes="out", **more)


_BRIEFLY = ("--max-minutes", "0.5", "--quiet", "--json")


def _ab_stage(batch: int) -> Stage:
    return Stage(
        f"ab-{batch}",
        FAST,
        f"What does `ab` say of two equal versions at batch size {batch}?",
        (
            *GENBENCH,
            *f"ab --base . --head . --models vae --batch-size {batch} --max-minutes 0.5 --quiet --json".split(),
        ),
        75,
        accepted=(0, 3),  # equal, or not decided in this time
        on_cpu=False,
    )


_ON_GPU: Mapping[str, Any] = {"judge": _applied, "on_cpu": False}

STAGES: tuple[Stage, ...] = (
    Stage("machine", RUNS, "Which GPU, driver and torch are these?", ("-c", _MACHINE), 60),
    _doctor_stage(
        "doctor", RUNS, "Do the quick checks of the doctor pass?", "", 120, rehearsal=("--only", "clock,shared-memory")
    ),
    _run_stage("smoke", RUNS, "Do three models train?", "--profile smoke --models gan,dcgan,vae", 60),
    _doctor_stage("failing-cells", RUNS, "Does a good cell follow a bad one?", "failing-cells", 60, judge=_applied),
    _benchmark(
        "equivalence",
        TRUE,
        "Does each engine train like eager, in fp32 and bf16?",
        "benchmarks/engine_equivalence.py --models vae,gan,dcgan --engines graph --precisions fp32,bf16",
        60,
        "--models vae --engines eager --precisions fp32",
        on_cpu=False,
        judge=_equivalent,
    ),
    _doctor_stage("timing", TRUE, "Do clock and events agree?", "clock,device-events", 40, **_ON_GPU),
    _doctor_stage(
        "graphs", REPLAYS, "Do captured steps train like eager?", "engine-graph", 60, judge=_applied, on_cpu=False
    ),
    _run_stage(
        "graph-cells",
        REPLAYS,
        "Are whole cells trained by graphs?",
        "--profile smoke --images 20000 --engine graph --models gan,dcgan,vae",
        60,
        on_cpu=False,
        judge=_graphs,
    ),
    _benchmark(
        "peers",
        FAST,
        "How fast is a step beside plain scripts?",
        "benchmarks/peers/compare.py --only vae,gan,dcgan --engine graph --blocks 5 --window-seconds 0.3",
        90,
        "--only vae --engine eager --blocks 1 --window-seconds 0.05 --check-steps 60",
        judge=_peers,
    ),
    _benchmark(
        "engines",
        FAST,
        "How fast is each engine beside a hand-written loop?",
        "benchmarks/engine_overhead.py --models gan,dcgan,vae --engines eager,graph --blocks 20",
        60,
        "--models vae --engines eager --blocks 2 --window-seconds 0.01",
    ),
    _run_stage(
        "precisions",
        FAST,
        "How fast is each precision?",
        "--profile smoke --images 60000 --batch-size 128 --models dcgan --precision fp32,tf32,bf16",
        60,
        rehearsal=("--precision", "fp32,bf16"),
    ),
    _benchmark(
        "batch-sizes",
        FAST,
        "How does the graph's gain change with the batch size?",
        "benchmarks/engine_speed.py --cells vae:64,vae:1024,dcgan:64,dcgan:1024 --engines graph --blocks 10",
        90,
        "",
        on_cpu=False,
    ),
    _doctor_stage(
        "formats", FAST, "How much memory does each format take?", "memory-formats", 40, judge=_applied, on_cpu=False
    ),
    _benchmark(
        "input-modes",
        FAST,
        "How fast are images that do not lie on the GPU?",
        "benchmarks/input_modes.py --cells dcgan:128 --workers 0,2 --blocks 10",
        60,
        "--cells vae:64 --workers 0 --blocks 2 --window-seconds 0.01",
    ),
    _ab_stage(64),
    _ab_stage(1024),
)
BY_NAME: Mapping[str, Stage] = {stage.name: stage for stage in STAGES}
