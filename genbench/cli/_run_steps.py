"""The steps that `genbench run` and `genbench run --resume` share."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from tabulate import tabulate

from genbench import __version__
from genbench.api.options import OptionValue
from genbench.api.recipe import resolve_recipe
from genbench.cli.output import echo, record_exit_code
from genbench.errors import ExitCode, UsageError, near_miss
from genbench.measure import machine
from genbench.measure.git_revision import commits
from genbench.plan.identity import step_key
from genbench.plan.planner import Plan
from genbench.plan.process_counts import largest_process_count, require_process_count, require_rendezvous
from genbench.plan.reporters import choose_reporters
from genbench.plan.request import Request, make_request
from genbench.plugins.catalogue import SINGULAR, Catalogue, discover
from genbench.plugins.chosen_metrics import changed_origins
from genbench.plugins.loader import Kind
from genbench.plugins.recorded_files import Allowed, loadable_files, sign_plugin_files
from genbench.report.failed_metrics import failed_metrics
from genbench.report.progress import PlainDisplay, choose_display
from genbench.report.summary import write_summary
from genbench.report.table.layout import clean
from genbench.report.table.render import render
from genbench.report.table.settings import setting_text
from genbench.results.cell_names import shown_names
from genbench.results.schema import CellIdentity, Choice, PlannedCell, Rendezvous, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.executor import Executor
from genbench.runner.supervisor import (
    FINAL,
    Interrupted,
    Supervisor,
    ask_devices,
    estimate,
    interrupted,
    stop_on_signals,
)
from genbench.trackers.dispatch import Trackers

if TYPE_CHECKING:
    import torch

_ESTIMATION_SECONDS = 120.0  # of a dry run, for trying cells
DEVICES = ("auto", "cpu", "cuda")


def parse_device(text: str) -> str:
    """Return a valid torch device name, or raise `UsageError` with the closest valid name."""
    if text in DEVICES or re.fullmatch(r"cuda:\d+", text):
        return text
    raise UsageError(
        f"Unknown device '{text}'.{near_miss(text, DEVICES)}", "Devices: auto, cpu, cuda, cuda:0, cuda:1, …"
    )


def resolve_auto(device: str) -> str:
    """Replace 'auto' by 'cuda' if an NVIDIA driver is loaded, else by 'cpu'."""
    if device != "auto":
        return device
    return "cuda" if machine.has_nvidia_driver() else "cpu"


def require_device(pool: Executor, cells: Sequence[PlannedCell], device: str, chosen: bool) -> dict[str, object]:
    """Return what torch reports about its devices; raise `UsageError` if one that the cells need is missing."""
    count = largest_process_count(cells)
    facts = ask_devices(pool, device, count)
    hint = "" if chosen else "--device auto chose it because an NVIDIA driver is loaded. "
    _require_cuda_device(device, facts, hint, count)
    return facts


def _require_cuda_device(device: str, facts: Mapping[str, Any], hint: str = "", count: int = 1) -> None:
    if not device.startswith("cuda"):
        return
    first, present = int(device.partition(":")[2] or 0), len(facts["cuda"])
    if first >= present:
        why = facts["cuda_reason"] or f"number of CUDA devices: {present}"
        raise UsageError(f"No device '{device}': {why}.", f"{hint}Use --device cpu.")
    unusable: Mapping[str, str] = facts.get("cuda_unusable", {})
    for index in range(first, first + count):
        if str(index) in unusable:
            others = [f"cuda:{other}" for other in range(present) if str(other) not in unusable]
            remedy = f"Use another, such as --device {others[0]}, or --device cpu." if others else "Use --device cpu."
            raise UsageError(f"The device 'cuda:{index}' cannot be used: {unusable[str(index)]}.", f"{hint}{remedy}")


def require_processes(
    cells: Sequence[PlannedCell], device: str, facts: dict[str, object], rendezvous: Rendezvous | None
) -> None:
    """Raise `UsageError` if a cell needs more processes than there are devices, or a rendezvous that is missing."""
    require_rendezvous(cells, rendezvous)
    if device.startswith("cuda"):
        found = facts["cuda"]
        places = len(found) - int(device.partition(":")[2] or 0) if isinstance(found, list) else 0
        require_process_count(cells, places, "CUDA devices")
    else:
        require_process_count(cells, machine.default_threads(), "processors")


def make_rendezvous(request: Request) -> Rendezvous | None:
    """Return the rendezvous of the processes on several machines, or None if no endpoint is given."""
    if request.rdzv_endpoint is None:
        return None
    return Rendezvous(endpoint=request.rdzv_endpoint, id=request.rdzv_id)


def select_present_device(text: str) -> torch.device:
    """Return the requested device for work in this process; raise `UsageError` if it is missing."""
    from genbench.measure import accelerator

    name = resolve_auto(parse_device(text))
    if name.startswith("cuda"):
        _require_cuda_device(name, accelerator.devices(name))
    return accelerator.select_device(name)


def create_run(
    request: Request, plan: Plan, reporters: list[Choice], device: str, facts: dict[str, object]
) -> tuple[RunDirectory, RunRecord]:
    """Create the run directory and write the plan to it."""
    path = Path(request.out or _default_path(request.models))
    made_from = commits([p.distribution for p in plan.plugins if p.origin == "entry-point"], request.plugins)
    record = RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        genbench=__version__,
        command=["genbench", *sys.argv[1:]],
        directory=os.path.relpath(Path.cwd(), path.resolve()),
        profile=plan.profile.name,
        cells=plan.cells,
        references=plan.references,
        targets=plan.targets,
        reporters=reporters,
        plugin_files=[str(Path(path).expanduser().resolve()) for path in request.plugins],
        timeout=(plan.profile.timeout if request.timeout is None else request.timeout) or None,
        memory_limit=request.memory_limit or None,
        threads=request.threads,
        rendezvous=make_rendezvous(request),
        environment={**machine.describe(), **facts, "device": device, "commits": made_from},
    )
    record = sign_plugin_files(record)
    return RunDirectory.create(path, record), record


@contextmanager
def enter_planning_directory(run: RunDirectory) -> Iterator[RunDirectory]:
    """Change to the directory in which the plan was made, if it still exists, so that relative paths resolve.

    The run stores that directory relative to itself, so it is found even after the whole project has moved. Yields the
    same run with an absolute path.
    """
    place = run.path.resolve() / run.record.directory
    if not run.record.directory or not place.is_dir() or place.samefile(Path.cwd()):
        yield run
        return
    run = RunDirectory(run.path.resolve())
    with chdir(place):
        yield run


def reopen_run(run: RunDirectory, flags: dict[str, Any], allowed: Allowed) -> tuple[RunRecord, Catalogue, str]:
    """Return record, catalogue and device to resume a run; what determines weights must have the version of the plan.

    Reporters do not affect results: they may change, and their versions do not matter. Metrics may change too: a note
    says so, and the values of different versions have different protocols.
    """
    run.require_whole_plan()
    record = run.record
    changed = {name: flags[name] for name in ("timeout", "memory_limit", "threads") if flags.get(name) is not None}
    record = msgspec.structs.replace(record, **{k: v or None for k, v in changed.items()})
    meeting = {k: flags[f"rdzv_{k}"] for k in ("endpoint", "id") if flags.get(f"rdzv_{k}") is not None}
    if meeting.get("endpoint") or record.rendezvous:
        before_that = msgspec.to_builtins(record.rendezvous) if record.rendezvous else {}
        record = msgspec.structs.replace(record, rendezvous=Rendezvous(**{**before_that, **meeting}))
    catalogue = discover(loadable_files(record, allowed))
    before = {choice.name: choice.options for choice in record.reporters}
    names = before if flags["reporters"] is None else make_request({"reporters": flags["reporters"]}).reporters
    record = msgspec.structs.replace(record, reporters=choose_reporters(names, before, catalogue))
    results = run.read_cells().results
    changed_metrics: dict[str, None] = {}
    for cell in record.cells:
        if not cell.reason:
            _require_same_versions(cell.identity, catalogue)
            if cell.id not in results or results[cell.id].status not in FINAL:
                changed_metrics |= dict.fromkeys(_changed_metrics(cell.identity, catalogue))
    for note in changed_metrics:
        echo(f"Note: {clean(note)}", err=True)
    device = record.environment.get("device") or next((cell.identity.device for cell in record.cells), "cpu")
    return record, catalogue, device


def _require_same_versions(identity: CellIdentity, catalogue: Catalogue) -> None:
    chosen: dict[Kind, Choice] = {
        "models": identity.model,
        "families": identity.family,
        "losses": identity.loss,
        "datasets": identity.dataset,
    }
    found = [
        (kind, choice.name, choice.origin, catalogue.require(kind, choice.name).plugin)
        for kind, choice in chosen.items()
    ]
    found += [
        ("metrics", name, before, now)
        for name, before, now in changed_origins(identity.metric_origins, catalogue)
        if name == identity.recipe.get("best_metric")  # it decides which weights are kept, and when training stops
    ]
    for kind, name, origin, plugin in found:
        if plugin.version != origin.version:
            raise UsageError(
                f"The {SINGULAR[kind]} '{name}' was planned with {origin.distribution} "
                f"{origin.version}, but {plugin.version} is installed: results of both would not be comparable.",
                "Install the planned version again, or start a new run.",
            )


def _changed_metrics(identity: CellIdentity, catalogue: Catalogue) -> Iterator[str]:
    """Yield a note for each metric whose plugin has changed since the plan; raise `UsageError` if one is missing."""
    for name in identity.metrics:
        catalogue.require("metrics", name)
    for name, before, now in changed_origins(identity.metric_origins, catalogue):
        yield (
            f"the metric '{name}' was planned with {before.distribution} {before.version}: cells that are not finished "
            f"are measured with {now.distribution} {now.version}, and values of both are not comparable"
        )


@contextmanager
def resumption_named(run: RunDirectory) -> Iterator[None]:
    """Turn an interruption into an error that names the command to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        raise interrupted(run) from None


def execute(
    pool: Executor,
    run: RunDirectory,
    record: RunRecord,
    catalogue: Catalogue,
    device: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Execute the missing cells, write the summary, print the table, and return the exit code."""
    display = PlainDisplay(sys.stderr) if pool.in_process and not quiet else choose_display(quiet=quiet)
    warn = partial(echo, err=True) if quiet else display.message
    with Trackers(lambda text: warn(f"Warning: {text}")) as trackers:
        supervisor = Supervisor(run, record, catalogue, pool, display, device, trackers)
        interruption: Interrupted | None = None
        try:
            trackers.start(run, [(c, catalogue.require("reporters", c.name).plugin) for c in record.reporters])
            with stop_on_signals(pool):
                display.run_started(len(record.cells), run.path)
                supervisor.execute()
        except Interrupted as error:
            interruption = error
        finally:
            display.close()
        with suppress(KeyboardInterrupt):  # Ctrl-C: do not wait for the trackers
            trackers.end(interrupted=interruption is not None)
    summary = write_summary(run)
    for warning in summary.warnings:
        echo(f"Warning: {warning}", err=True)
    results = run.read_cells().results
    failures = failed_metrics(record.cells, results)
    for failure in failures:
        echo(f"Failed: {clean(failure, 2000)}", err=True)
    succeeded = all(cell.id in results and results[cell.id].status in ("ok", "skipped") for cell in record.cells)
    code = ExitCode.OK if succeeded and not failures else ExitCode.FAILED_CELLS
    code = ExitCode.INTERRUPTED if interruption is not None else code
    record_exit_code(code)
    echo(render(summary.table, "json" if as_json else "plain"), nl=False, as_json=as_json)
    if not (quiet or as_json):
        echo(f"\nImages and report: {run.path / 'report.html'}", err=True)
    if interruption is not None:
        echo(interruption, err=True)
    return code


def dry_run_report(pool: Executor, plan: Plan, device: str, threads: int | None, as_json: bool) -> tuple[str, ExitCode]:
    """Return the cells of a plan with their estimated cost, as a table or as JSON, and the exit code.

    One of the cells whose steps cost the same is built and trained for a second, which reveals cells that would fail;
    after `_ESTIMATION_SECONDS`, no more cells are.
    """
    deadline = time.monotonic() + _ESTIMATION_SECONDS
    left_out = 0
    measured: dict[bytes, dict[str, Any] | str] = {}
    rows: list[dict[str, Any]] = []
    names = shown_names(plan.cells)
    for cell in plan.cells:
        row: dict[str, Any] = {
            "id": cell.id, "cell": names[cell.id], "possible": not cell.reason, "reason": cell.reason,
            "metrics": {name: (cell.identity.metric_options or {}).get(name, {}) for name in cell.identity.metrics},
        }  # fmt: skip
        if not cell.reason:
            key = step_key(cell.identity)
            if key not in measured and time.monotonic() < deadline:
                measured[key] = estimate(pool, cell, plan.plugins, device, threads)
            left_out += key not in measured
            row.update(_cost(cell, measured[key]) if key in measured else {"note": "not estimated"})
        rows.append(row)
    total = sum(row.get("seconds") or 0 for row in rows)
    failing = sum("fails" in row for row in rows)
    code = ExitCode.FAILED_CELLS if failing else ExitCode.OK
    if as_json:
        text = msgspec.json.format(msgspec.json.encode({"cells": rows, "training_seconds": total})).decode() + "\n"
        return text, code
    shown = [
        [
            row["cell"],
            f"{row['steps']:,}" if row.get("steps") else "–",
            f"{row['parameters']:,}" if row.get("parameters") else "–",
            _duration(row["seconds"]) if row.get("seconds") else "–",
            f"{row['peak_rss'] / 2**20:,.0f} MiB" if row.get("peak_rss") else "–",
            row.get("note") or (row["reason"] and f"impossible: {row['reason']}") or "",
        ]
        for row in rows
    ]
    headings = ["cell", "steps", "parameters", "training", "peak memory", "note"]
    table = tabulate(
        shown, headings, disable_numparse=True, colalign=("left", "right", "right", "right", "right", "left")
    )
    possible = len(plan.possible) - failing
    text = (
        f"{table}\n\n{possible} of {len(plan.cells)} cells would run under profile '{plan.profile.name}' on {device}; "
        f"training takes about {_duration(total)}, estimated from one second of each; evaluation takes extra time.\n"
    )
    metrics = {name: options for row in rows if row["possible"] for name, options in row["metrics"].items()}
    text += f"metrics: {', '.join(map(_with_options, metrics, metrics.values())) or 'none'}\n"
    if left_out:
        cells = "1 cell was" if left_out == 1 else f"{left_out} cells were"
        text += f"{cells} neither tried nor estimated: a dry run tries cells for {_ESTIMATION_SECONDS:g} s.\n"
    return text, code


def _with_options(name: str, options: Mapping[str, OptionValue]) -> str:
    values = ", ".join(f"{option} = {setting_text(option, value)}" for option, value in options.items())
    return f"{name} ({values})" if values else name


def _cost(cell: PlannedCell, facts: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(facts, str):
        return {"fails": True, "note": f"would fail: {facts}"}
    if not facts:
        return {"note": "no estimate: no response within 60 s"}
    steps = -(-resolve_recipe(cell.identity.recipe).images // facts["images_per_step"])
    return {
        "steps": steps,
        "seconds": steps * facts["seconds_per_step"],
        "parameters": facts["parameters"],
        "peak_rss": facts["peak_rss"],
        "note": "; ".join(facts["notes"]),
    }


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _default_path(models: Sequence[str]) -> Path:
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = "-".join(models[:4]) + ("-etc" if len(models) > 4 else "")
    path = Path("results") / f"{time}-{name}"
    attempt = 1
    while path.exists():
        attempt += 1
        path = Path("results") / f"{time}-{name}-{attempt}"
    return path
