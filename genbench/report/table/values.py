"""From one stored result to the values of its row, each with the footnotes that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genbench.api.evaluation import Estimate
from genbench.api.options import OptionValue
from genbench.report import numbers
from genbench.report.table.layout import (
    Footnotes,
    Row,
    Value,
    clean,
)
from genbench.report.table.settings import say, settings_of
from genbench.results.schema import Best, CellResult, PlannedCell, Proof, ReferenceRow
from genbench.results.store import RunContents

BESIDE = ("debiased", "null")  # what an estimate may state beside its value and error

# Columns of what a step asks of torch, and of the machine's peak, with their units: for programs, and for who asks.
COUNTED = {
    "operations/step": "", "host reads/step": "", "launches/step": "", "step memory": "MiB", "MFU": "%",
}  # fmt: skip

_MEBIBYTE = 2**20


@dataclass(frozen=True)
class PlannedRow:
    """A planned cell with what came of it."""

    run: str  # name of the run
    planned: PlannedCell
    result: CellResult | None  # None: not run, or damaged
    damage: str  # why its file could not be read, or empty
    settings: dict[str, OptionValue]

    @classmethod
    def of(cls, run: RunContents, planned: PlannedCell) -> PlannedRow:
        """Find what came of a planned cell of this run."""
        result = run.cells.results.get(planned.id)
        damage = run.cells.damaged.get(planned.id, "")
        return cls(run.name, planned, result, damage, settings_of(run.name, run.record, planned, result))


def cell_row(cell: PlannedRow, notes: Footnotes, usual: Mapping[str, OptionValue] | None = None) -> Row:
    """Return the row of a planned cell, whatever came of it.

    `usual` are the settings that variants stand for, with the value that most rows have: a footnote says what differs.
    """
    values = {name: setting_value(name, value) for name, value in cell.settings.items()}
    if usual:
        values["variant"] = _variant(cell, usual, notes)
    values["id"] = Value(cell.planned.id, cell.planned.id)
    values["status"] = _status(cell, notes)
    if cell.result is not None:
        values |= _measurements(cell.result, notes)
        values |= estimate_values(cell.result, notes)
    return Row("cell", cell.planned.id, cell.run, values)


def setting_value(name: str, value: OptionValue) -> Value:
    """Return a setting for a reader, and as the number or text that it is."""
    said = say(name, value)
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return Value(clean(said, 60), value if plain else said)  # type: ignore[arg-type]  # narrowed by `plain`


def estimate_values(source: CellResult | ReferenceRow, notes: Footnotes) -> dict[str, Value]:
    """Return every metric's value with its standard error, or 'n/a' with a footnote that says why."""
    values = {
        missing.metric: Value("n/a", marks=(notes.mark(f"{missing.metric}: {missing.reason}"),))
        for missing in source.unavailable
    }
    for estimate in source.estimates:
        error = estimate.standard_error
        text = numbers.with_error(estimate.value, error)
        known = {name: getattr(estimate, name) for name in BESIDE if getattr(estimate, name) is not None}
        values[estimate.metric] = Value(text, estimate.value, {"standard_error": error, **known})
    return values


def protocol_text(estimate: Estimate) -> str:
    """Return what an estimate rests on, in one line: images, the null, its value without bias, the protocol."""
    said = [f"n = {numbers.count(estimate.n)}"]
    said += [
        f"{name} {numbers.significant(getattr(estimate, name))}"
        for name in BESIDE
        if getattr(estimate, name) is not None
    ]
    said += [f"{name} {say(name, value)}" for name, value in estimate.protocol.items()]
    return clean(", ".join(said))


def parameters_of(result: CellResult) -> dict[str, str]:
    """Return the parameters of each network for a reader, with how many of them are trained where not all are."""
    said = {}
    for name, trained in result.parameters.items():
        total = result.total_parameters.get(name, trained)
        said[name] = numbers.count(total) + (f", {numbers.count(trained)} of them trained" if trained < total else "")
    return said


def noted(text: str, said: Sequence[str], notes: Footnotes) -> Value:
    """Return a text with a footnote for each thing that must be said about it."""
    return Value(text, text, marks=tuple(dict.fromkeys(notes.mark(note) for note in said)))


def _variant(cell: PlannedRow, usual: Mapping[str, OptionValue], notes: Footnotes) -> Value:
    name = cell.planned.variant
    own = {field: cell.settings.get(field) for field in usual if cell.settings.get(field) != usual[field]}
    said = ", ".join(f"{field} = {say(field, value)}" for field, value in own.items())
    value = setting_value("variant", name) if name else Value()
    return replace(value, marks=(notes.mark(f"{name or 'no variant'}: {said}"),)) if said else value


def _status(cell: PlannedRow, notes: Footnotes) -> Value:
    if cell.result is not None:
        said = [f"{cell.result.status}: {cell.result.reason}"] if cell.result.status != "ok" else []
        return noted(cell.result.status, [*said, *cell.result.notes], notes)
    if cell.damage:
        return noted("damaged", [f"damaged: cells/{cell.planned.id}.json: {cell.damage}"], notes)
    return noted("not run", [f"not run: {cell.planned.reason}"] if cell.planned.reason else [], notes)


def _measurements(result: CellResult, notes: Footnotes) -> dict[str, Value]:
    spent = result.durations
    training = max(0.0, spent.train - spent.evaluate_between)  # stored with the evaluations on the way
    evaluating = spent.evaluate + spent.evaluate_between
    values = {
        "steps done": Value(numbers.count(result.steps), result.steps),
        "images seen": Value(numbers.count(result.images), result.images),
        "time": Value(numbers.significant(result.durations.total, 3), result.durations.total),
        "training time": Value(numbers.significant(training, 3), training),
        "evaluation time": Value(numbers.significant(evaluating, 3), evaluating),
    }
    if result.parameters:
        values["parameters"] = _parameters(result, notes)
    if result.flops_per_image:
        values["FLOP/image"] = Value(numbers.parameters(result.flops_per_image), result.flops_per_image)
    if result.flops_per_sample:
        values["FLOP/sample"] = Value(numbers.parameters(result.flops_per_sample), result.flops_per_sample)
    values |= _counted(result)
    if result.samples_per_second:
        values["samples/s"] = Value(numbers.rate(result.samples_per_second), result.samples_per_second)
    if result.energy is not None and result.energy.joules_per_image is not None:
        millijoules = 1e3 * result.energy.joules_per_image
        values["energy/image"] = Value(numbers.significant(millijoules, 3), millijoules)
    elif result.energy is not None:
        values["energy/image"] = Value("n/a")  # `genbench show` says why
    if result.best is not None:
        values |= _best(result.best)
    if result.memory is not None:
        values["peak memory"] = _mebibytes(result.memory.peak_rss)
        if result.memory.peak_allocated is not None:
            values["peak GPU memory"] = _mebibytes(result.memory.peak_allocated)
    speed = result.throughput
    if speed is not None:
        if result.proof is not None and result.proof.trained:
            text = numbers.with_interval(speed.images_per_second, speed.low, speed.high)
            values["images/s"] = Value(text, speed.images_per_second, {"low": speed.low, "high": speed.high})
        else:  # a speed at which nothing was learned is not a speed
            values["images/s"] = Value("n/a", marks=(notes.mark(_not_proved(result.proof)),))
    return values


def _counted(result: CellResult) -> dict[str, Value]:
    counters, values = result.counters, {}
    if counters is not None:
        values = {
            "operations/step": Value(numbers.counted(counters.operations), counters.operations),
            "host reads/step": Value(numbers.counted(counters.host_reads), counters.host_reads),
            "step memory": _mebibytes(counters.peak_bytes),
        }
        if counters.kernel_launches is not None:
            values["launches/step"] = Value(numbers.counted(counters.kernel_launches), counters.kernel_launches)
    if result.roofline is not None and result.roofline.mfu is not None:
        percent = 100 * result.roofline.mfu
        values["MFU"] = Value(numbers.significant(percent, 3), percent)
    return values


def _parameters(result: CellResult, notes: Footnotes) -> Value:
    trained = sum(result.parameters.values())
    total = sum(result.total_parameters.values()) or trained
    text = numbers.parameters(total)
    if trained < total:
        return Value(f"{text} ({numbers.parameters(trained)} trained)", total)
    if result.frozen and not result.total_parameters:  # of a version that did not count them
        return Value(text, total, marks=(notes.mark("parameters: without those that are frozen"),))
    return Value(text, total)


def _best(best: Best) -> dict[str, Value]:
    estimate = next(estimate for estimate in best.estimates if estimate.metric == best.metric)
    text = numbers.with_error(estimate.value, estimate.standard_error)
    return {
        f"best {best.metric}": Value(text, estimate.value, {"standard_error": estimate.standard_error}),
        f"images at best {best.metric}": Value(numbers.count(best.images), best.images),
    }


def _mebibytes(number: int) -> Value:
    return Value(numbers.count(number / _MEBIBYTE), number / _MEBIBYTE)


def _not_proved(proof: Proof | None) -> str:
    if proof is None:
        return "images/s: nothing proves that these steps trained the model"
    faults = {"never moved": proof.unmoved, "became NaN or infinite": proof.not_finite}
    said = [f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''} {what}" for what, names in faults.items() if names]
    said += [f"phase {name} made no update" for name, updates in proof.phase_updates.items() if not updates]
    return f"images/s: these steps did not train the model: {'; '.join(said) or 'no reason was recorded'}"
