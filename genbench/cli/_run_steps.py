"""The steps that `genbench run` and `--resume` share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from tabulate import tabulate

from genbench import __version__
from genbench.api.recipe import resolve_recipe
from genbench.errors import ExitCode, UsageError, near_miss
from genbench.measure import machine
from genbench.measure.git_revision import commits
from genbench.plan.planner import Plan, third_party_plugins
from genbench.plan.process_counts import require_process_count, require_rendezvous
from genbench.plan.reporters import choose_reporters
from genbench.plan.request import Request, make_request
from genbench.plugins.catalogue import SINGULAR, Catalogue, discover
from genbench.plugins.loader import Kind
from genbench.report.progress import choose_display
from genbench.report.summary import write_summary
from genbench.report.table.render import render
from genbench.results.schema import CellIdentity, Choice, PlannedCell, PluginOrigin, Rendezvous, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.pool import WorkerPool
from genbench.runner.supervisor import (
    Interrupted,
    Supervisor,
    ask_devices,
    estimate,
    label,
    stop_on_signals,
)
from genbench.trackers.dispatch import Trackers

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def parse_device(text: str) -> str:
    """Return the device as torch spells it, or raise `UsageError` with the near miss."""
    if text in DEVICES or re.fullmatch(r"cuda:\d+", text):
        return text
    raise UsageError(
        f"Unknown device '{text}'.{near_miss(text, DEVICES)}", "Devices: auto, cpu, cuda, cuda:0, cuda:1, …"
    )


def resolve_auto(device: str) -> str:
    """Turn 'auto' into 'cuda' where an NVIDIA driver is loaded, else into 'cpu'."""
    if device != "auto":
        return device
    return "cuda" if machine.has_nvidia_driver() else "cpu"


def require_device(pool: WorkerPool, device: str, chosen: bool) -> dict[str, object]:
    """Return what torch says of the devices; raise `UsageError` where the one that is wanted is not there."""
    facts = ask_devices(pool)
    found = facts["cuda"]
    count = len(found) if isinstance(found, list) else 0
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if index >= count:
            why = facts["cuda_reason"] or f"there are {count} CUDA devices"
            how = (
                "Use --device cpu."
                if chosen
                else "An NVIDIA driver was found, so --device auto chose it. Use --device cpu."
            )
            raise UsageError(f"No device '{device}': {why}.", how)
    return facts


def require_processes(
    cells: Sequence[PlannedCell], device: str, facts: dict[str, object], rendezvous: Rendezvous | None
) -> None:
    """Raise `UsageError` where cells want more processes than this machine has devices, or a place to meet."""
    require_rendezvous(cells, rendezvous)
    if device.startswith("cuda"):
        found = facts["cuda"]
        places = len(found) - int(device.partition(":")[2] or 0) if isinstance(found, list) else 0
        require_process_count(cells, places, "CUDA devices")
    else:
        require_process_count(cells, machine.default_threads(), "processors")


def rendezvous_of(request: Request) -> Rendezvous | None:
    """Return where the processes of several machines are to find each other, where that was said."""
    if request.rdzv_endpoint is None:
        return None
    return Rendezvous(backend=request.rdzv_backend, endpoint=request.rdzv_endpoint, id=request.rdzv_id)


def select_present_device(text: str) -> torch.device:
    """Return the device that a user means, for work in this process; raise `UsageError` where it is not there."""
    from genbench.measure import accelerator

    name = resolve_auto(parse_device(text))
    if name.startswith("cuda"):
        facts = accelerator.devices()
        if int(name.partition(":")[2] or 0) >= len(facts["cuda"]):
            why = facts["cuda_reason"] or f"there are {len(facts['cuda'])} CUDA devices"
            raise UsageError(f"No device '{name}': {why}.", "Use --device cpu.")
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
        rendezvous=rendezvous_of(request),
        environment={**machine.describe(), **facts, "device": device, "commits": made_from},
    )
    return RunDirectory.create(path, record), record


@contextmanager
def where_it_was_planned(run: RunDirectory) -> Iterator[RunDirectory]:
    """Be where the plan was made, from where its relative paths count, as long as that place still exists.

    It is kept as seen from the run, so that a project that has moved as a whole is found again. Gives the same run, by
    a path that counts from there.
    """
    place = run.path.resolve() / run.record.directory
    if not run.record.directory or not place.is_dir() or place.samefile(Path.cwd()):
        yield run
        return
    run = RunDirectory(run.path.resolve())
    with chdir(place):
        yield run


def reopen_run(run: RunDirectory, flags: dict[str, Any]) -> tuple[RunRecord, Catalogue, str]:
    """Return what is needed to go on with a run; its plugins must be the ones that it was planned with.

    Reporters change no number: others may be named than before, and their versions do not matter.
    """
    record = run.record
    changed = {name: flags[name] for name in ("timeout", "memory_limit", "threads") if flags.get(name) is not None}
    record = msgspec.structs.replace(record, **{k: v or None for k, v in changed.items()})
    meeting = {k: flags[f"rdzv_{k}"] for k in ("backend", "endpoint", "id") if flags.get(f"rdzv_{k}") is not None}
    if meeting.get("endpoint") or record.rendezvous:
        before_that = msgspec.to_builtins(record.rendezvous) if record.rendezvous else {}
        record = msgspec.structs.replace(record, rendezvous=Rendezvous(**{**before_that, **meeting}))
    catalogue = discover(record.plugin_files)
    before = {choice.name: choice.options for choice in record.reporters}
    names = before if flags["reporters"] is None else make_request({"reporters": flags["reporters"]}).reporters
    record = msgspec.structs.replace(record, reporters=choose_reporters(names, before, catalogue))
    for cell in record.cells:
        if not cell.reason:
            _require_same_versions(cell.identity, catalogue)
    device = record.environment.get("device") or next((cell.identity.device for cell in record.cells), "cpu")
    return record, catalogue, device


def _require_same_versions(identity: CellIdentity, catalogue: Catalogue) -> None:
    chosen: dict[Kind, Choice] = {
        "models": identity.model,
        "families": identity.family,
        "losses": identity.loss,
        "datasets": identity.dataset,
    }
    planned: list[tuple[Kind, str, PluginOrigin]] = [
        *((kind, choice.name, choice.origin) for kind, choice in chosen.items()),
        *(("metrics", name, origin) for name, origin in (identity.metric_origins or {}).items()),
    ]
    for kind, name, origin in planned:
        version = catalogue.require(kind, name).plugin.version
        if version != origin.version:
            raise UsageError(
                f"The {SINGULAR[kind]} '{name}' was planned with {origin.distribution} "
                f"{origin.version}, now it is {version}: its numbers would not belong together.",
                "Install that version again, or start a new run.",
            )


def execute(
    pool: WorkerPool,
    run: RunDirectory,
    record: RunRecord,
    catalogue: Catalogue,
    device: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Execute what is missing, write the summary, print the table, and return the exit code."""
    display = choose_display(quiet=quiet)
    warn = partial(click.echo, err=True) if quiet else display.message
    with Trackers(lambda text: warn(f"Warning: {text}")) as trackers:
        supervisor = Supervisor(
            run, record, third_party_plugins(catalogue, record.cells), pool, display, device, trackers
        )
        interruption: Interrupted | None = None
        try:
            trackers.start(run, [(c, catalogue.require("reporters", c.name).plugin) for c in record.reporters])
            with stop_on_signals(pool):
                display.run_started(len(record.cells), run.path)
                supervisor.execute()
        except Interrupted as error:
            interruption = error
        except KeyboardInterrupt:  # the second one: at once
            display.close()
            click.echo(supervisor.interrupted(), err=True)
            return ExitCode.INTERRUPTED
        finally:
            display.close()
        with suppress(KeyboardInterrupt):  # one who does not want to wait for them
            trackers.end(interrupted=interruption is not None)
    summary = write_summary(run)
    for warning in summary.warnings:
        click.echo(f"Warning: {warning}", err=True)
    results = run.read_cells().results
    well = all(cell.id in results and results[cell.id].status in ("ok", "skipped") for cell in record.cells)
    code = ExitCode.OK if well else ExitCode.FAILED_CELLS
    code = ExitCode.INTERRUPTED if interruption is not None else code
    click.get_current_context().find_root().obj = code  # it counts even where nobody reads the table
    click.echo(render(summary.table, "json" if as_json else "plain"), nl=False)
    if not (quiet or as_json):
        click.echo(f"\nPictures and report: {run.path / 'report.html'}", err=True)
    if interruption is not None:
        click.echo(interruption, err=True)
    return code


def dry_run_report(
    pool: WorkerPool, plan: Plan, device: str, threads: int | None, as_json: bool
) -> tuple[str, ExitCode]:
    """Return the cells of a plan with their estimated cost, as a table or as JSON, and the exit code.

    Each cell is built and trained for a second, which shows where one would fail.
    """
    measured: dict[bytes, dict[str, Any] | str] = {}
    rows: list[dict[str, Any]] = []
    for cell in plan.cells:
        row: dict[str, Any] = {"id": cell.id, "cell": label(cell), "possible": not cell.reason, "reason": cell.reason}
        if not cell.reason:
            key = msgspec.json.encode(msgspec.structs.replace(cell.identity, seed=0), order="deterministic")
            if key not in measured:  # seeds cost the same
                measured[key] = estimate(pool, cell, plan.plugins, device, threads)
            row.update(_cost(cell, measured[key]))
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
        f"training takes about {_duration(total)}, estimated from a second of each; evaluation comes on top.\n"
    )
    return text, code


def _cost(cell: PlannedCell, facts: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(facts, str):
        return {"fails": True, "note": f"would fail: {facts}"}
    if not facts:
        return {"note": "no estimate: no answer within 60 s"}
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
