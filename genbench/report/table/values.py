"""The values of one row from a stored result, each with the footnotes it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from genbench.api.evaluation import Estimate
from genbench.api.options import OptionValue
from genbench.gate.speed_interval import explanation, uncertainty
from genbench.report import numbers
from genbench.report.table.layout import (
    Footnotes,
    Row,
    Value,
    clean,
)
from genbench.report.table.outcome import CellOutcome
from genbench.report.table.settings import difference_text, setting_text
from genbench.results.schema import Best, CellResult, Proof, ReferenceRow

FOOTNOTED = frozenset({"model", "variant"})  # settings that may have footnotes of a row
OPTIONAL_PARTS = ("debiased", "null")  # what an estimate may state in addition to its value and error

# Columns with the counters of a step and the share of the machine's peak, with their units; shown only on request.
COUNTER_COLUMNS = {
    "operations/step": "", "host reads/step": "", "launches/step": "", "step memory": "MiB", "MFU": "%",
}  # fmt: skip

_MEBIBYTE = 2**20
_LONG = 2000  # characters of a footnote that lists settings


def cell_row(
    cell: CellOutcome,
    notes: Footnotes,
    usual: Mapping[str, OptionValue] | None = None,
    about_model: str = "",
    with_settings: bool = True,
) -> Row:
    """Return the row of a planned cell, whatever its outcome.

    Args:
        cell: the cell.
        notes: takes the footnotes.
        usual: the settings that follow from the variants, with the value of most rows; a footnote states others.
        about_model: a footnote of the model, or empty.
        with_settings: False: with those only that may have footnotes, for a row that becomes part of another.
    """
    names = cell.settings if with_settings else FOOTNOTED.intersection(cell.settings)
    values = {name: setting_value(name, cell.settings[name]) for name in names}
    if about_model:
        values["model"] = replace(values["model"], marks=(notes.mark(about_model, _LONG),))
    if usual:
        values["variant"] = _variant(cell, usual, notes)
    values["id"] = Value(cell.planned.id, cell.planned.id)
    values["status"] = _status(cell, notes)
    if cell.result is not None:
        values |= _measurements(cell.result, notes)
        values |= estimate_values(cell.result, notes)
    return Row("cell", cell.planned.id, cell.run, values, (cell,))


def setting_value(name: str, value: OptionValue) -> Value:
    """Return a setting as text, and as a number or text for programs."""
    return _setting_value.__wrapped__(name, value) if isinstance(value, list) else _setting_value(name, value)


@lru_cache(maxsize=20_000, typed=True)  # thousands of cells have most of their settings in common
def _setting_value(name: str, value: OptionValue) -> Value:
    text = setting_text(name, value)
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    return Value(clean(text, 60), value if plain else text)  # type: ignore[arg-type]  # narrowed by `plain`


def estimate_values(source: CellResult | ReferenceRow, notes: Footnotes) -> dict[str, Value]:
    """Return every metric's value with its standard error, or 'n/a' with a footnote that states the reason.

    Metrics with the same reason share a footnote.
    """
    metrics_by_reason: dict[str, list[str]] = {}
    for missing in source.unavailable:
        metrics_by_reason.setdefault(missing.reason, []).append(missing.metric)
    values = {
        metric: Value("n/a", marks=(notes.mark(f"{', '.join(metrics)}: {reason}"),))
        for reason, metrics in metrics_by_reason.items()
        for metric in metrics
    }
    for estimate in source.estimates:
        if not estimate.finite:  # shown, but nothing that is sorted, averaged or ranked
            values[estimate.metric] = Value(numbers.significant(estimate.value))
            continue
        error = estimate.standard_error
        text = numbers.with_error(estimate.value, error)
        known = {name: getattr(estimate, name) for name in OPTIONAL_PARTS if getattr(estimate, name) is not None}
        marks = (notes.mark(estimate.remark),) if estimate.remark else ()
        values[estimate.metric] = Value(text, estimate.value, {"standard_error": error, **known}, marks)
    return values


def protocol_text(estimate: Estimate) -> str:
    """Return the conditions of an estimate in one line: images, bias-corrected value, null, protocol."""
    parts = [f"n = {numbers.count(estimate.n)}"]
    parts += [
        f"{name} {numbers.significant(getattr(estimate, name))}"
        for name in OPTIONAL_PARTS
        if getattr(estimate, name) is not None
    ]
    parts += [f"{name} {setting_text(name, value)}" for name, value in estimate.protocol.items()]
    parts += [estimate.remark] if estimate.remark else []
    return clean(", ".join(parts))


def parameters_of(result: CellResult) -> dict[str, str]:
    """Return the parameter count of each network as text, with the number trained if some are frozen."""
    texts = {}
    for name, trained in result.parameters.items():
        total = result.total_parameters.get(name, trained)
        texts[name] = numbers.count(total) + (f", {numbers.count(trained)} of them trained" if trained < total else "")
    return texts


def with_footnotes(text: str, remarks: Sequence[str], notes: Footnotes) -> Value:
    """Return a text with a footnote for each remark."""
    return Value(text, text, marks=tuple(dict.fromkeys(notes.mark(remark) for remark in remarks)))


def _variant(cell: CellOutcome, usual: Mapping[str, OptionValue], notes: Footnotes) -> Value:
    name = cell.planned.variant
    own = {field: cell.settings.get(field) for field in usual if cell.settings.get(field) != usual[field]}
    text = "; ".join(difference_text(field, value, usual[field]) for field, value in own.items())
    value = setting_value("variant", name) if name else Value()
    return replace(value, marks=(notes.mark(f"{name or 'no variant'}: {text}", _LONG),)) if text else value


def _status(cell: CellOutcome, notes: Footnotes) -> Value:
    if cell.result is not None:
        reason = [f"{cell.result.status}: {cell.result.reason}"] if cell.result.status != "ok" else []
        return with_footnotes(cell.result.status, [*reason, *cell.result.notes], notes)
    if cell.damage:
        return with_footnotes("damaged", [f"damaged: cells/{cell.planned.id}.json: {cell.damage}"], notes)
    return with_footnotes("not run", [f"not run: {cell.planned.reason}"] if cell.planned.reason else [], notes)


def _measurements(result: CellResult, notes: Footnotes) -> dict[str, Value]:
    spent = result.durations
    training = max(0.0, spent.train - spent.evaluate_between)  # stored with the evaluations during training
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
    values |= _counters(result)
    if result.samples_per_second:
        values["samples/s"] = Value(numbers.rate(result.samples_per_second), result.samples_per_second)
    values |= {sampler_speed(label): Value(numbers.rate(each), each) for label, each in result.sampler_speeds.items()}
    if result.evaluations_per_sample:
        values["NFE"] = _evaluations(result.evaluations_per_sample)
    values |= {sampler_evaluations(label): _evaluations(each) for label, each in result.sampler_evaluations.items()}
    if result.energy is not None and result.energy.joules_per_image is not None:
        millijoules = 1e3 * result.energy.joules_per_image
        values["energy/image"] = Value(numbers.significant(millijoules, 3), millijoules)
    elif result.energy is not None:
        values["energy/image"] = Value("n/a")  # `genbench show` states the reason
    if result.best is not None:
        values |= _best(result.best)
    if result.memory is not None:
        values["peak memory"] = _mebibytes(result.memory.peak_rss)
        if result.memory.peak_allocated is not None:
            values["peak GPU memory"] = _mebibytes(result.memory.peak_allocated)
    speed = result.throughput
    if speed is not None:
        if result.proof is not None and result.proof.trained and (interval := _uncertainty(result)):
            mark = notes.mark(f"images/s: {explanation(interval)}")
            values["images/s"] = Value("n/a", parts={"low": speed.low, "high": speed.high}, marks=(mark,))
        elif result.proof is not None and result.proof.trained:
            text = numbers.with_interval(speed.images_per_second, speed.low, speed.high)
            values["images/s"] = Value(text, speed.images_per_second, {"low": speed.low, "high": speed.high})
        else:  # reported only if every parameter was verified to have trained
            values["images/s"] = Value("n/a", marks=(notes.mark(_not_trained(result.proof)),))
    return values


def sampler_speed(label: str) -> str:
    """Return the name of the column with the speed of a further sampler."""
    return f"samples/s by {label}"


def sampler_evaluations(label: str) -> str:
    """Return the name of the column with the evaluations of networks per sample of a further sampler."""
    return f"NFE by {label}"


def _evaluations(count: float) -> Value:
    return Value(numbers.significant(count, 3) if count % 1 else numbers.count(int(count)), count)


def _uncertainty(result: CellResult) -> str:
    """Return the interval of a speed that is too uncertain to be shown; empty if it can be, or if there is none."""
    return uncertainty(result.throughput) if result.throughput is not None else ""


def _counters(result: CellResult) -> dict[str, Value]:
    counters, values = result.counters, {}
    if counters is not None:
        values = {
            "operations/step": Value(numbers.counted(counters.operations), counters.operations),
            "host reads/step": Value(numbers.counted(counters.host_reads), counters.host_reads),
            "step memory": _mebibytes(counters.peak_bytes),
        }
        if counters.kernel_launches is not None:
            values["launches/step"] = Value(numbers.counted(counters.kernel_launches), counters.kernel_launches)
    if result.roofline is not None and result.roofline.mfu is not None and not _uncertainty(result):
        percent = 100 * result.roofline.mfu
        values["MFU"] = Value(numbers.significant(percent, 3), percent)
    return values


def _parameters(result: CellResult, notes: Footnotes) -> Value:
    trained = sum(result.parameters.values())
    total = sum(result.total_parameters.values()) or trained
    text = numbers.parameters(total)
    if trained < total:
        return Value(f"{text} ({numbers.parameters(trained)} trained)", total)
    if result.frozen and not result.total_parameters:  # from a version that did not count them
        return Value(text, total, marks=(notes.mark("parameters: without the frozen ones"),))
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


def _not_trained(proof: Proof | None) -> str:
    if proof is None:
        return "images/s: no evidence that these steps trained the model"
    faults = {"never changed": proof.unmoved, "became NaN or infinite": proof.not_finite}
    found = [
        f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''} {what}" for what, names in faults.items() if names
    ]
    found += [f"phase {name} made no update" for name, updates in proof.phase_updates.items() if not updates]
    return f"images/s: these steps did not train the model: {'; '.join(found) or 'no reason was recorded'}"
