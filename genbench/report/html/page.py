"""report.html: a run in one file that needs no network and no scripts."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

import msgspec

from genbench.report import numbers
from genbench.report.engines import engine_lines
from genbench.report.html.figures import window_strip
from genbench.report.html.style import STYLE
from genbench.report.run_details import status_of
from genbench.report.table.layout import Table, clean
from genbench.report.table.render import html_fragment
from genbench.report.table.settings import setting_text
from genbench.report.table.values import parameters_of, protocol_text
from genbench.results.cell_names import shown_names
from genbench.results.identity_settings import options_by_choice
from genbench.results.schema import CellResult, PlannedCell
from genbench.results.store import RunContents

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRIDS = (
    "samples",
    "held-out images and their reconstructions",
    "the samples closest to training images, above those images",
)


def page(run: RunContents, tables: Mapping[str, Table], grids: Mapping[str, tuple[bytes | None, ...]]) -> str:
    """Return the page.

    Args:
        run: what is shown.
        tables: by title; the first one needs none.
        grids: PNG files by cell id, or None, in the order of `_GRIDS`.
    """
    record = run.record
    title = f"genbench · {run.name}"
    names = shown_names(record.cells)
    cells = "\n".join(_cell(run, planned, names[planned.id], grids.get(planned.id, ())) for planned in record.cells)
    damaged = run.cells.damaged | {f"references/{id}": why for id, why in run.references.damaged.items()} | run.left_out
    facts = {
        "created": record.created,
        "genbench": record.genbench,
        "profile": record.profile,
        "command": " ".join(record.command),
        "damaged files": "; ".join(f"{id}: {why}" for id, why in damaged.items()),
    }
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{html.escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
{"".join(_titled(title, table) for title, table in tables.items())}
<h2>Cells</h2>
{cells or '<p class="pale">No cells were planned.</p>'}
<h2>Provenance</h2>
{_facts(facts)}
<h2>Environment</h2>
{_facts(record.environment)}
</body>
</html>
"""


def _titled(title: str, table: Table) -> str:
    return f"<h2>{html.escape(title)}</h2>\n{html_fragment(table)}" if title else html_fragment(table)


def _cell(run: RunContents, planned: PlannedCell, name: str, grids: tuple[bytes | None, ...]) -> str:
    result = run.cells.results.get(planned.id)
    status, reason = status_of(run, planned)
    figures = [_image(png, what) for png, what in zip(grids, _GRIDS, strict=False)]
    if result:
        figures += [
            *(_figure(svg, caption) for caption, svg in training_figures(result)),
            _figure(window_strip(result.windows), "throughput of each window"),
        ]
    return f"""<article>
<h3>{html.escape(clean(name))} <span class="status{"" if status == "ok" else " bad"}">{status}</span></h3>
<div class="facts">{html.escape(planned.id)}</div>
{f"<pre>{html.escape(reason)}</pre>" if reason and status != "ok" else ""}
<div class="figures">{"".join(figures)}</div>
<details><summary>metrics, settings, measurements and provenance</summary>
{_facts(_metric_facts(result)) if result and (result.estimates or result.unavailable) else ""}
{_facts(_cell_facts(planned, result))}
</details>
</article>"""


def _metric_facts(result: CellResult) -> dict[str, str]:
    facts = {
        estimate.metric: f"{numbers.with_error(estimate.value, estimate.standard_error)} ({protocol_text(estimate)})"
        for estimate in result.estimates
    }
    return facts | {missing.metric: f"n/a: {missing.reason}" for missing in result.unavailable}


def _cell_facts(planned: PlannedCell, result: CellResult | None) -> dict[str, Any]:
    identity = planned.identity
    facts: dict[str, Any] = {
        what: f"{choice.name} ({choice.origin.distribution} {choice.origin.version})"
        for what, choice in (("model", identity.model), ("loss", identity.loss), ("dataset", identity.dataset))
    }
    facts |= {name: setting_text(name, value) for name, value in options_by_choice(identity).items()}
    facts |= {"latent_dim": identity.latent_dim, "seed": identity.seed, "device": identity.device}
    facts |= {name: setting_text(name, value) for name, value in identity.recipe.items()}
    if result is None:
        return facts
    facts |= {f"parameters of {name}": text for name, text in parameters_of(result).items()}
    facts |= {"FLOP/image": numbers.parameters(result.flops_per_image)} if result.flops_per_image else {}
    facts |= {"FLOP/sample": numbers.parameters(result.flops_per_sample)} if result.flops_per_sample else {}
    facts |= {"samples/s": numbers.rate(result.samples_per_second)} if result.samples_per_second else {}
    facts |= result.sampling
    for record in (result.comparability, result.durations, result.proof, result.provenance):
        if record is not None:
            facts |= msgspec.structs.asdict(record)
    if result.engine is not None:
        used, *tried = engine_lines(result.engine)
        facts |= {"engine used": used.removeprefix("engine: "), "engines tried": [line.strip() for line in tried]}
    prefixed = {  # their fields share names with others: images, source
        "one step": result.counters,
        "matrix product": result.roofline,
        "during training": result.surroundings,
        "energy": result.energy,
        "initial weights": result.transfer,
    }
    for about, own in prefixed.items():
        if own is not None:
            facts |= {f"{about}: {name}": value for name, value in msgspec.to_builtins(own).items()}
    return facts


def _facts(facts: Mapping[str, Any]) -> str:
    items = [
        f"<dt>{html.escape(clean(str(name)))}</dt><dd>{html.escape(clean(_text(value), 2000))}</dd>"
        for name, value in facts.items()
        if value not in ("", None, [], {})
    ]
    return f"<dl>{''.join(items)}</dl>" if items else '<p class="pale">Nothing was recorded.</p>'


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _image(png: bytes | None, what: str) -> str:
    if png is None:
        return ""
    if not png.startswith(_PNG_SIGNATURE):
        return _figure('<p class="pale">This image is damaged.</p>', what)
    data = base64.b64encode(png).decode()
    return _figure(f'<img alt="{html.escape(what)}" src="data:image/png;base64,{data}">', what)


def _figure(content: str, what: str) -> str:
    return f"<figure>{content}<figcaption>{html.escape(what)}</figcaption></figure>" if content else ""
