"""The output of `genbench show` for a run or one cell: plan, status, files, training and results."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genbench.errors import how_to_explain
from genbench.gate.speed_interval import explanation, uncertainty
from genbench.planning.samplers import named_by_sampler
from genbench.report import numbers
from genbench.report.counters import counted_lines
from genbench.report.engines import engine_lines
from genbench.report.race_text import described_races
from genbench.report.table.layout import clean
from genbench.report.table.outcome import status_and_reason
from genbench.report.table.settings import setting_text
from genbench.report.table.values import parameters_of, protocol_text
from genbench.results.cell_names import shown_names
from genbench.results.failure_codes import code_of_cell
from genbench.results.files import plain_data
from genbench.results.identity_settings import options_by_choice
from genbench.results.schema import CellResult, Energy, LaterMeasurement, PlannedCell, Throughput
from genbench.results.store import RunContents, RunDirectory

SUMMARISED = 300  # of more cells, numbers are shown instead of a list
_MOST_POINTS = 12  # of a curve
_MOST_REASONS, _MOST_KINDS, _MOST_DAMAGED = 20, 40, 20


def status_of(contents: RunContents, planned: PlannedCell) -> tuple[str, str]:
    """Return a planned cell's status and reason, see `status_and_reason`."""
    damage = contents.cells.damaged.get(planned.id, "")
    return status_and_reason(planned, contents.cells.results.get(planned.id), damage)


def describe_run(run: RunDirectory, contents: RunContents) -> dict[str, Any]:
    """Return plan, status and files of every cell as plain data."""
    names = shown_names(contents.record.cells)
    cells = []
    for planned in contents.record.cells:
        status, reason = status_of(contents, planned)
        cells.append(
            {
                "id": planned.id,
                "title": clean(names[planned.id]),
                "status": status,
                "reason": reason,
                "code": code_of_cell(contents.cells.results.get(planned.id), status == "damaged"),
                "files": _shown_files(run, planned.id),
            }
        )
    facts = _facts_of_run(run, contents)
    last = ("damaged", "races")  # in the order of the JSON
    described = {name: value for name, value in facts.items() if name not in last} | {"cells": cells}
    return described | {name: facts[name] for name in last if name in facts}


def _facts_of_run(run: RunDirectory, contents: RunContents) -> dict[str, Any]:
    facts = {name: getattr(contents.record, name) for name in ("created", "genbench", "profile", "command")}
    described = {"path": run.shown(run.path), **facts, "damaged": damaged_files(contents)}
    return described | ({"races": described_races(contents)} if contents.race is not None else {})


def summary_of_run(run: RunDirectory, contents: RunContents) -> dict[str, Any]:
    """Return the plan and the number of cells by status and by model, loss and dataset, as plain data."""
    described = _facts_of_run(run, contents)
    statuses = [(planned, *status_of(contents, planned)) for planned in contents.record.cells]
    by_kind: dict[str, Counter[str]] = {}
    for planned, status, _ in statuses:
        identity = planned.identity
        kind = clean(f"{identity.model.name} · {identity.loss.name} · {identity.dataset.name}")
        by_kind.setdefault(kind, Counter())[status] += 1
    return described | {
        "statuses": dict(Counter(status for _, status, _ in statuses)),
        "kinds": {kind: dict(counts) for kind, counts in by_kind.items()},
        "reasons": frequent_reasons((status, reason) for _, status, reason in statuses),
    }


def frequent_reasons(found: Iterable[tuple[str, str]]) -> list[str]:
    """Return the most frequent statuses and reasons of cells that did not end as ok, each with how often it occurs."""
    counts = Counter((status, clean(reason)) for status, reason in found if status != "ok" and reason)
    listed = [f"{count:,} × {status}: {reason}" for (status, reason), count in counts.most_common(_MOST_REASONS)]
    rest = sum(counts.values()) - sum(count for _, count in counts.most_common(_MOST_REASONS))
    return [*listed, f"{rest:,} with other reasons"] if rest else listed


def damaged_files(contents: RunContents) -> dict[str, str]:
    """Return the files, and entries of the plan, that could not be read, with the reason."""
    damaged = {f"cells/{id}.json": why for id, why in contents.cells.damaged.items()}
    damaged |= {f"references/{id}.json": why for id, why in contents.references.damaged.items()}
    return damaged | {f"run.json: {id}": why for id, why in contents.left_out.items()}


def describe_cell(run: RunDirectory, contents: RunContents, planned: PlannedCell) -> dict[str, Any]:
    """Return everything stored about one cell as plain data."""
    status, reason = status_of(contents, planned)
    result = contents.cells.results.get(planned.id)
    return {
        "id": planned.id,
        "title": clean(shown_names(contents.record.cells)[planned.id]),
        "status": status,
        "reason": reason,
        "code": code_of_cell(contents.cells.results.get(planned.id), status == "damaged"),
        "files": _shown_files(run, planned.id),
        "identity": plain_data(planned.identity),
        "result": None if result is None else plain_data(result),
    }


def _shown_files(run: RunDirectory, id: str) -> dict[str, str]:
    return {name: run.shown(Path(path)) for name, path in files_of(run, id).items()}


def files_of(run: RunDirectory, id: str) -> dict[str, str]:
    """Return the existing files of a cell."""
    paths = {
        "result": run.cell_path(id),
        "samples": run.sample_path(id),
        "reconstructions": run.reconstruction_path(id),
        "closest pairs": run.closest_path(id),
        "training samples": run.training_samples_path(id),
        "interpolation": run.interpolation_path(id),
        "weights": run.checkpoint_path(id),
        "best weights": run.best_path(id),
        "resume": run.resume_path(id),
        "log": run.log_path(id),
    }
    return {name: str(path) for name, path in paths.items() if path.is_file()}


def run_text(described: dict[str, Any]) -> str:
    """Return a described run as text."""
    lines = [
        described["path"],
        f"  created   {described['created']}",
        f"  genbench  {described['genbench']}",
        f"  profile   {described['profile']}",
        f"  command   {' '.join(described['command'])}",
        "",
    ]
    for cell in described.get("cells", ()):
        lines += [f"{cell['status']:<9}  {cell['title']}", f"           {cell['id']}"]
        if cell["reason"]:
            lines.append(f"           {clean(cell['reason'])}{f' ({code})' if (code := cell['code']) else ''}")
        lines += [f"           {name}: {path}" for name, path in cell["files"].items()]
    if "kinds" in described:
        lines += _summary_lines(described)
    for race in described.get("races", []):
        lines += ["", clean(race["summary"], 2000), *(f"  {clean(text, 2000)}" for text in race["decisions"])]
    if described["damaged"]:
        lines += ["", "Damaged files (`genbench run --resume` measures their cells again):"]
        most = len(described["damaged"]) if "cells" in described else _MOST_DAMAGED
        lines += [f"  {name}: {clean(why)}" for name, why in [*described["damaged"].items()][:most]]
        rest = len(described["damaged"]) - most
        lines += [f"  and {rest:,} more: `genbench show --cells` lists them"] if rest > 0 else []
    return "\n".join(lines) + "\n"


def _summary_lines(described: dict[str, Any]) -> list[str]:
    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count:,} {status}" for status, count in counts.items())

    kinds = described["kinds"]
    shown = list(kinds.items())[:_MOST_KINDS]
    lines = [f"{sum(described['statuses'].values()):,} cells: {counted(described['statuses'])}", ""]
    lines += [f"  {kind}: {counted(counts)}" for kind, counts in shown]
    lines += [f"  and {len(kinds) - len(shown):,} more"] if len(kinds) > len(shown) else []
    lines += ["", "Not ok:", *(f"  {text}" for text in described["reasons"])] if described["reasons"] else []
    run = shlex.quote(described["path"])
    return [*lines, "", f"`genbench show {run} --cells` lists every cell, --cell CELL shows one."]


def cell_text(described: dict[str, Any], planned: PlannedCell, result: CellResult | None) -> str:
    """Return a described cell as text."""
    lines = [f"{described['title']}: {described['status']}", f"  id        {described['id']}"]
    lines += [f"  {name:<9} {path}" for name, path in described["files"].items()]
    if described["reason"]:
        lines += ["", *(f"  {clean(line)}" for line in str(described["reason"]).splitlines())]
        lines += [f"  {how_to_explain(described['code'])}"] if described["code"] else []
    identity = planned.identity
    settings = {"device": identity.device, "latent_dim": identity.latent_dim, **identity.recipe}
    settings |= options_by_choice(identity)
    lines += ["", "Settings", *(f"  {name} = {clean(setting_text(name, value))}" for name, value in settings.items())]
    if result is not None:
        lines += _result_lines(result)
    return "\n".join(lines) + "\n"


def _later(later: LaterMeasurement) -> str:
    plugins = dict.fromkeys(f"{origin.distribution} {origin.version}" for origin in later.metric_origins.values())
    by = ", ".join([f"genbench {later.genbench}", *plugins])
    label = later.sampler.label if later.sampler else ""
    names = [named_by_sampler(name, label) for name in later.metrics]
    return f"measured after the run, on {later.measured}, with {by}: {', '.join(names)}"


def _result_lines(result: CellResult) -> list[str]:
    lines = ["", "Parameters"]
    lines += [f"  {clean(name)}: {text}" for name, text in parameters_of(result).items()]
    lines += ["", f"Training: {numbers.count(result.steps)} steps, {numbers.count(result.images)} images"]
    if result.throughput is not None:
        lines.append(f"  {_speed(result.throughput)}")
        if result.proof is None or not result.proof.trained:
            lines.append("  but it was not verified that these steps trained the model")
    timed = [window for window in result.windows if not window.warmup]
    lines.append(f"  windows: {len(timed)} timed, {len(result.windows) - len(timed)} warm-up")
    seconds = [
        f"{name} {numbers.seconds(getattr(result.durations, name))}" for name in result.durations.__struct_fields__
    ]
    lines.append(f"  {', '.join(seconds)}")
    if result.engine is not None:
        lines += [f"  {clean(line)}" for line in engine_lines(result.engine)]
    if result.flops_per_image:
        lines.append(f"  {numbers.parameters(result.flops_per_image)} floating-point operations per image")
    if result.flops_per_sample:
        lines.append(f"  {numbers.parameters(result.flops_per_sample)} floating-point operations per sample")
    if result.evaluations_per_sample:
        lines.append(f"  {numbers.significant(result.evaluations_per_sample, 3)} evaluations of networks per sample")
    if result.samples_per_second:
        lines.append(f"  {numbers.rate(result.samples_per_second)} samples/s")
    lines += [f"  {line}" for line in counted_lines(result)]
    if result.energy is not None:
        lines.append(f"  {_energy(result.energy)}")
    if result.sampling:
        lines.append(
            f"  sampled: {result.sampling['weights']} weights, batch norm with {result.sampling['batch_norm']}"
        )
    lines += _weights_and_stopping(result)
    if result.curves:
        lines += ["", "Curves"]
        stride = max(1, -(-len(result.curves) // _MOST_POINTS))
        for first in range(0, len(result.curves), stride):
            points = result.curves[first : first + stride]
            latest = {
                name: value for point in points for name, value in point.terms.items()
            }  # not every point has every term
            terms = "  ".join(
                f"{clean(name)} {'n/a' if value is None else numbers.significant(value)}"
                for name, value in latest.items()
            )
            lines.append(f"  {numbers.count(points[-1].images):>12} images  {terms}")
    if result.estimates or result.unavailable:
        lines += ["", "Metrics"]
        for estimate in result.estimates:
            value = numbers.with_error(estimate.value, estimate.standard_error)
            lines.append(f"  {clean(estimate.metric)} = {value} ({protocol_text(estimate)})")
        lines += [f"  {clean(missing.metric)}: n/a, {clean(missing.reason)}" for missing in result.unavailable]
        lines += [f"  {clean(_later(later))}" for later in result.measured_later]
    if result.notes:
        lines += ["", "Notes", *(f"  {clean(note)}" for note in result.notes)]
    return lines


def _energy(energy: Energy) -> str:
    if energy.joules_per_image is None:
        return f"energy: n/a, {clean(energy.reason)}"
    return (
        f"energy: {numbers.significant(1e3 * energy.joules_per_image, 3)} mJ per image "
        f"({numbers.significant(energy.joules or 0, 3)} J in {numbers.seconds(energy.seconds)}; {clean(energy.source)})"
    )


def _weights_and_stopping(result: CellResult) -> list[str]:
    lines = []
    if result.frozen:
        lines.append(f"  frozen: {', '.join(map(clean, result.frozen))}")
    if result.transfer is not None:
        found = result.transfer
        counts = ", ".join(f"{len(getattr(found, n))} {n}" for n in ("taken", "missing", "unused", "mismatched"))
        lines.append(f"  initial weights from {clean(found.source)}: {counts}")
        for name in ("missing", "unused", "mismatched"):
            names = getattr(found, name)
            lines += (
                [f"    {name}: {', '.join(map(clean, names[:8]))}{' …' if len(names) > 8 else ''}"] if names else []
            )
    if result.stopped_early:
        lines.append("  stopped early: no better evaluation within the patience")
    if result.best is not None:
        value = next(e for e in result.best.estimates if e.metric == result.best.metric)
        text = numbers.with_error(value.value, value.standard_error)
        lines.append(
            f"  best {clean(result.best.metric)} = {text} after {numbers.count(result.best.images)} images "
            f"(step {numbers.count(result.best.step)})"
        )
    return lines


def _speed(speed: Throughput) -> str:
    if interval := uncertainty(speed):
        return (
            f"images/s: n/a, between {numbers.rate(speed.low)} and {numbers.rate(speed.high)}: {explanation(interval)}"
        )
    return (
        f"{numbers.with_interval(speed.images_per_second, speed.low, speed.high)} images/s, "
        f"{numbers.count(speed.low)} to {numbers.count(speed.high)} with confidence {speed.confidence:.1%}"
    )
