"""Details of something that a plugin registers, as plain data and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genbench.api.options import Option
from genbench.api.shape_rule import shapes_in_words
from genbench.api.specs import ConfigurableSpec
from genbench.gate.speed_interval import uncertainty
from genbench.plugins.catalogue import SINGULAR, Entry
from genbench.plugins.loader import Kind
from genbench.plugins.spec_transfer import CODE_FIELDS
from genbench.report import numbers
from genbench.report.table.layout import clean
from genbench.results.cell_names import shown_names
from genbench.results.schema import CellIdentity
from genbench.results.store import RunContents

_SHOWN_ELSEWHERE = ("name", "summary", "options", "plugin", "kind", "parameters", "results", "samplers")


def describe_entry(entry: Entry[Any]) -> dict[str, Any]:
    """Return every declared field of a spec except its code, its options, and its plugin."""
    spec = entry.spec
    data = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name not in ("options", *CODE_FIELDS)
    }
    if isinstance(spec, ConfigurableSpec):
        data["options"] = [dataclasses.asdict(option) for option in spec.option_schema]
    if "samplers" in data:
        data["samplers"] = [
            {"name": one.name, "summary": one.summary, "options": list(map(dataclasses.asdict, one.option_schema))}
            for one in spec.samplers
        ]
    plugin = entry.plugin
    data["plugin"] = {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}
    return data


def stored_results(kind: Kind, name: str, runs: Iterable[RunContents]) -> list[dict[str, Any]]:
    """Return the results of cells with this model, loss, dataset, family or metric, in the order of the runs."""
    found: list[dict[str, Any]] = []
    for run in runs:
        names = shown_names(run.record.cells)
        for planned in run.record.cells:
            cell = run.cells.results.get(planned.id)
            if cell is None or not (kind == "metrics" or _names(cell.identity).get(kind) == name):
                continue
            estimates = [e for e in cell.estimates if kind != "metrics" or e.metric == name]
            if estimates or kind != "metrics":
                found.append(
                    {
                        "run": run.name,
                        "cell": planned.id,
                        "title": clean(names[planned.id]),
                        "status": cell.status,
                        "device": cell.identity.device,
                        "images": cell.images,
                        "images_per_second": cell.throughput.images_per_second if cell.throughput else None,
                        "uncertain": uncertainty(cell.throughput) if cell.throughput else "",
                        "estimates": [dataclasses.asdict(estimate) for estimate in estimates],
                    }
                )
    return found


def _names(identity: CellIdentity) -> dict[str, str]:
    return {
        "models": identity.model.name,
        "losses": identity.loss.name,
        "datasets": identity.dataset.name,
        "families": identity.family.name,
    }


def text_of(kind: Kind, described: Mapping[str, Any]) -> str:
    """Return a described entry as text."""
    plugin = described["plugin"]
    rows = [("plugin", f"{plugin['name']} ({plugin['distribution']} {plugin['version']})")]
    rows += [
        (name.replace("_", " "), _text(name, value))
        for name, value in described.items()
        if _is_worth_a_line(name, value)
    ]
    width = max(len(label) for label, _ in rows)
    lines = [f"{SINGULAR[kind]} {described['name']}", f"  {described['summary']}"]
    lines += [f"  {label:<{width}}  {text}" for label, text in rows]
    if described.get("options"):
        lines.append("  options")
        lines += [f"    {option['name']}: {Option(**option).describe()}" for option in described["options"]]
    if described.get("samplers"):
        lines.append("  samplers")
        for sampler in described["samplers"]:
            lines.append(f"    {sampler['name']}: {sampler['summary']}")
            lines += [f"      {option['name']}: {Option(**option).describe()}" for option in sampler["options"]]
    if "parameters" in described:
        lines.append("  parameters, with default options")
        lines += [f"    {line}" for line in _parameters(described["parameters"])]
    if "results" in described:
        results = described["results"]
        lines.append("  stored results" if results else "  no stored results (--run RUN names one of your runs)")
        lines += [f"    {line}" for line in _results(results)]
    return "\n".join(lines)


def _is_worth_a_line(name: str, value: Any) -> bool:
    return name not in _SHOWN_ELSEWHERE and (
        value not in (None, "", (), [], {}, False) or name in ("image_shapes", "latent_dim")
    )


def _text(name: str, value: Any) -> str:
    if name == "image_shapes":
        return shapes_in_words(value)
    if name == "latent_dim" and value is None:
        return "the number of values of an image"
    if name == "image_shape":
        return _shape(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if name == "value_range":
        return f"{value[0]:g} to {value[1]:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _parameters(counts: Iterable[Mapping[str, Any]]) -> list[str]:
    lines = []
    for count in counts:
        shown = "  ".join(f"{name} {number:,}" for name, number in count["networks"].items())
        total = f"  total {sum(count['networks'].values()):,}" if len(count["networks"]) > 1 else ""
        lines.append(f"{_shape(count['image_shape'])}: {count['reason'] or shown + total}")
    return lines


def _results(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for the first cell of each run; `genbench table RUN` shows all of them."""
    lines = []
    for run in dict.fromkeys(result["run"] for result in results):
        first, *others = [result for result in results if result["run"] == run]
        more = f" (and {len(others)} more)" if others else ""
        lines.append(f"{run}: {_result(first)}{more}")
    return lines


def _result(result: Mapping[str, Any]) -> str:
    parts = [f"{e['metric']} {numbers.with_error(e['value'], e['standard_error'])}" for e in result["estimates"]]
    if result["uncertain"]:
        parts.append(f"img/s n/a ({result['uncertain']}) on {result['device']}")
    elif result["images_per_second"]:
        parts.append(f"{numbers.rate(result['images_per_second'])} img/s on {result['device']}")
    status = "" if result["status"] == "ok" else f" [{result['status']}]"
    return f"{result['title']}, {result['images']:,} images{status}: {', '.join(parts) or 'no numbers'}"
