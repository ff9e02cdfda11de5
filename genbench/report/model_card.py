"""The model card of an archive: Markdown for people, with metadata in YAML for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from genbench.report.markup import markdown
from genbench.report.repeat_command import repeat_notes, repeat_text
from genbench.report.run_details import status_of
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import clean
from genbench.report.table.render import READABLE_ROWS, render
from genbench.report.table.values import protocol_text
from genbench.results.cell_names import shown_names
from genbench.results.schema import CellResult
from genbench.results.store import RunContents

_ACTING = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def model_card(run: RunContents, files: Collection[str]) -> str:
    """Return the card of a run; `files` are the names of what stands beside it."""
    record, names = run.record, shown_names(run.record.cells)
    table = make_table(run, over_seeds=None)
    parts = [
        "\n".join(["---", *_metadata(run, names), "---"]),
        f"# {markdown(clean(run.name))}",
        f"A run of genbench {markdown(clean(record.genbench))}, planned on {markdown(clean(record.created))} under the "
        f"profile {markdown(clean(record.profile))}. The numbers below are from this machine and hold under their "
        "protocols; `genbench table` and `genbench.load` read this archive.",
        "## Results",
        render(table, "github", most_rows=READABLE_ROWS).strip(),
        "## Cells",
    ]
    for planned in record.cells:
        status, reason = status_of(run, planned)
        parts.append(f"### {markdown(clean(names[planned.id]))}")
        about = [f"status: {status}" + (f", {clean(reason, 1000)}" if reason else "")]
        about += [f"weights: {name}" for name in _weights(planned.id) if name in files]
        about += repeat_notes(record, planned)
        parts.append("\n".join(f"- {markdown(clean(line, 2000))}" for line in about))
        parts.append(f"    {repeat_text(record, planned)}")  # an indented block has no end that a text could contain
    return "\n\n".join(parts) + "\n"


def _weights(id: str) -> tuple[str, ...]:
    return f"checkpoints/{id}.safetensors", f"checkpoints/{id}.best.safetensors"


def _metadata(run: RunContents, names: dict[str, str]) -> Iterator[str]:
    """Yield the lines of the metadata: every value is in the notation of JSON, which is YAML too."""
    identities = [cell.identity for cell in run.record.cells]
    families = sorted({identity.family.name for identity in identities})
    yield "library_name: genbench"
    yield f"tags: {_yaml(['genbench', 'image-generation', *map(clean, families)])}"
    yield f"datasets: {_yaml(sorted({clean(identity.dataset.name) for identity in identities}))}"
    about = {"version": run.record.genbench, "profile": run.record.profile, "created": run.record.created}
    yield f"genbench: {_yaml(about)}"
    measured = [result for cell in run.record.cells if (result := run.cells.results.get(cell.id)) and result.estimates]
    if measured:
        yield "model-index:"
    for result in measured:
        yield f"- name: {_yaml(clean(names[result.id]))}"
        yield "  results:"
        yield '  - task: {"type": "unconditional-image-generation"}'
        yield f"    dataset: {_yaml(_dataset(result))}"
        yield "    metrics:"
        for estimate in result.estimates:
            metric: dict[str, Any] = {"type": clean(estimate.metric), "value": estimate.value}
            metric |= {"standard_error": estimate.standard_error, "n": estimate.n, "protocol": protocol_text(estimate)}
            yield f"    - {_yaml(metric)}"


def _dataset(result: CellResult) -> dict[str, str]:
    found = {"type": clean(result.identity.dataset.name), "name": clean(result.identity.dataset.name)}
    pixels = result.comparability.data_hash if result.comparability else ""
    return found | ({"revision": pixels} if pixels else {})


def _yaml(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
