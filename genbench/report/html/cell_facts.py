"""What the page of a cell states, in sections: first what distinguishes it from the other cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from genbench.report import numbers
from genbench.report.counters import counted_lines
from genbench.report.engines import engine_lines
from genbench.report.table.layout import clean
from genbench.report.table.outcome import CellOutcome
from genbench.report.table.settings import setting_text
from genbench.report.table.values import parameters_of, protocol_text
from genbench.results.identity_settings import options_by_choice
from genbench.results.schema import CellResult, Window

Section: TypeAlias = tuple[str, list[tuple[str, str]]]

_MOST_WINDOWS = 12
_LONGEST = 2000  # characters of one value


def differing_settings(cells: Sequence[CellOutcome]) -> list[str]:
    """Return the names of the settings in which these cells differ, except those that name a cell anyway."""
    names = dict.fromkeys(name for cell in cells for name in cell.settings)
    return [
        name
        for name in names
        if not name.endswith(" plugin") and len({repr(cell.settings.get(name)) for cell in cells}) > 1
    ]


def cell_sections(cell: CellOutcome, differing: Sequence[str]) -> list[Section]:
    """Return titles, each with names and values; sections without a value are left out."""
    result = cell.result
    sections: list[tuple[str, Mapping[str, Any]]] = [
        ("What differs from the other cells", _settings(cell, differing)),
        ("Metrics", _metrics(result) if result else {}),
        ("Training", _training(result) if result else {}),
        ("Engine and counters", _engine(result) if result else {}),
        ("Energy and memory", _energy_and_memory(result) if result else {}),
        ("Windows", _windows(result.windows) if result else {}),
        ("All settings", _all_settings(cell)),
        ("Machine and software", _machine(result) if result else {}),
        ("Provenance", _provenance(cell)),
        ("Notes", {str(number): note for number, note in enumerate(result.notes, 1)} if result else {}),
    ]
    texts = [(title, [(clean(name), fact_text(value)) for name, value in facts.items()]) for title, facts in sections]
    known = [(title, [(name, text) for name, text in facts if text]) for title, facts in texts]
    return [(title, facts) for title, facts in known if facts]


def _settings(cell: CellOutcome, names: Sequence[str]) -> dict[str, str]:
    return {name: setting_text(name, cell.settings[name]) for name in names if name in cell.settings}


def _metrics(result: CellResult) -> dict[str, str]:
    facts = {
        estimate.metric: f"{numbers.with_error(estimate.value, estimate.standard_error)} ({protocol_text(estimate)})"
        for estimate in result.estimates
    }
    if result.best is not None:
        best = next((e for e in result.best.estimates if e.metric == result.best.metric), None)
        if best is not None:
            value = numbers.with_error(best.value, best.standard_error)
            facts[f"best {best.metric}"] = f"{value} after {numbers.count(result.best.images)} images"
    return facts | {missing.metric: f"n/a: {missing.reason}" for missing in result.unavailable}


def _training(result: CellResult) -> dict[str, Any]:
    speed = result.throughput
    facts: dict[str, Any] = {"steps": numbers.count(result.steps), "images": numbers.count(result.images)}
    if speed is not None:
        interval = f"{numbers.rate(speed.low)} to {numbers.rate(speed.high)}, {speed.confidence:.0%} confidence"
        facts["images/s"] = f"{numbers.rate(speed.images_per_second)} ({interval}, {speed.windows} windows)"
    if result.proof is not None:
        facts["verified to have trained"] = "yes" if result.proof.trained else "no"
        facts |= {f"updates of {name}": numbers.count(count) for name, count in result.proof.phase_updates.items()}
        facts |= {"never changed": result.proof.unmoved, "not finite": result.proof.not_finite}
    facts |= {f"parameters of {name}": text for name, text in parameters_of(result).items()}
    facts |= {"FLOP/image": numbers.parameters(result.flops_per_image)} if result.flops_per_image else {}
    facts |= {"FLOP/sample": numbers.parameters(result.flops_per_sample)} if result.flops_per_sample else {}
    facts |= {"evaluations/sample": numbers.significant(nfe, 3)} if (nfe := result.evaluations_per_sample) else {}
    facts |= {"samples/s": numbers.rate(result.samples_per_second)} if result.samples_per_second else {}
    facts |= {f"sampled: {name.replace('_', ' ')}": value for name, value in result.sampling.items()}
    if result.transfer is not None:
        facts |= {f"initial weights: {name}": value for name, value in msgspec.to_builtins(result.transfer).items()}
    durations = msgspec.structs.asdict(result.durations)
    spent = {name.replace("_", " "): numbers.seconds(seconds) for name, seconds in durations.items() if seconds}
    return facts | {f"time: {name}": text for name, text in spent.items()}


def _engine(result: CellResult) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if result.engine is not None:
        used, *tried = engine_lines(result.engine)
        facts |= {"engine": used.removeprefix("engine: ")}
        facts |= {f"tried: {name}": about for name, _, about in (line.strip().partition(": ") for line in tried)}
    for line in counted_lines(result):
        name, _, about = line.strip().partition(": ")
        facts[name] = about
    return facts


def _energy_and_memory(result: CellResult) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if result.energy is not None:
        facts |= {f"energy: {name.replace('_', ' ')}": value for name, value in _plain(result.energy).items()}
    if result.memory is not None:
        facts |= {
            f"memory: {name.replace('_', ' ')}": f"{numbers.count(value / 2**20)} MiB"
            for name, value in _plain(result.memory).items()
            if isinstance(value, int)
        }
    return facts


def _windows(windows: Sequence[Window]) -> dict[str, str]:
    """Return some windows, evenly spaced, with their speed."""
    timed = [window for window in windows if window.seconds > 0]
    stride = max(1, -(-len(timed) // _MOST_WINDOWS))
    return {
        f"step {numbers.count(window.step)}": f"{numbers.rate(window.images / window.seconds)} images/s"
        + (" (warm-up, not counted)" if window.warmup else "")
        for window in timed[::stride]
    }


def _all_settings(cell: CellOutcome) -> dict[str, str]:
    identity = cell.planned.identity
    facts: dict[str, Any] = {
        what: f"{choice.name} ({choice.origin.distribution} {choice.origin.version})"
        for what, choice in (("model", identity.model), ("loss", identity.loss), ("dataset", identity.dataset))
    }
    own = {"latent_dim": identity.latent_dim, "seed": identity.seed, "device": identity.device, **identity.recipe}
    return facts | {name: setting_text(name, value) for name, value in (options_by_choice(identity) | own).items()}


def _machine(result: CellResult) -> dict[str, Any]:
    return _plain(result.comparability) if result.comparability is not None else {}


def _provenance(cell: CellOutcome) -> dict[str, Any]:
    facts: dict[str, Any] = {"run": cell.run, "cell": cell.planned.id}
    return facts | (_plain(cell.result.provenance) if cell.result is not None else {})


def _plain(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


def fact_text(value: Any) -> str:
    """Return a value as text in one line; empty for what is not known."""
    if value in ("", None, [], {}):
        return ""
    if isinstance(value, Mapping):
        return clean(", ".join(f"{name} {fact_text(item)}" for name, item in value.items()), _LONGEST)
    if isinstance(value, list | tuple):
        return clean(", ".join(fact_text(item) for item in value), _LONGEST)
    return clean(f"{value:.6g}" if isinstance(value, float) else str(value), _LONGEST)
