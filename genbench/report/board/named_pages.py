"""The machines and third-party plugins behind cells: each has a page of its own."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from genbench.report.board.records import NamedPage
from genbench.report.board.slugs import slug
from genbench.report.table.layout import clean
from genbench.report.table.outcome import CellOutcome
from genbench.results.schema import CellIdentity, Comparability, PluginOrigin

_SOFTWARE = ("threads", "torch", "python", "driver", "openmp", "allocator", "denormals")


def machine_page(recorded: Comparability | None) -> NamedPage | None:
    """Return the machine that a cell was measured on; None if it is not known."""
    if recorded is None or not recorded.machine:
        return None
    parts = [recorded.machine, f"{recorded.cores:g} cores", recorded.accelerator]
    name = clean(" · ".join(part for part in parts if part))
    facts = [f"{field.replace('_', ' ')} {getattr(recorded, field)}" for field in _SOFTWARE if getattr(recorded, field)]
    return NamedPage(slug=slug(name, "machine"), kind="machine", name=name, facts=[clean(", ".join(facts))])


def plugin_pages(identity: CellIdentity) -> list[NamedPage]:
    """Return the third-party plugins that a cell uses, by distribution, with versions and what they provide."""
    uses: list[tuple[PluginOrigin, str]] = [
        (choice.origin, f"{kind} {choice.name}")
        for kind, choice in (
            ("model", identity.model),
            ("family", identity.family),
            ("loss", identity.loss),
            ("dataset", identity.dataset),
        )
    ]
    uses += [(origin, f"metric {name}") for name, origin in (identity.metric_origins or {}).items()]
    found: dict[str, NamedPage] = {}
    for origin, what in uses:
        if origin.plugin == "builtin":
            continue
        name = clean(origin.distribution)
        fact = clean(f"{what} in version {origin.version}")
        page = found.setdefault(name, NamedPage(slug=slug(name, "plugin"), kind="plugin", name=name, facts=[]))
        found[name] = msgspec.structs.replace(page, facts=[*page.facts, fact])
    return list(found.values())


def named_pages(outcomes: Iterable[CellOutcome]) -> list[NamedPage]:
    """Return every machine and plugin of these cells once, with everything that is stated about it."""
    found: dict[str, NamedPage] = {}
    for outcome in outcomes:
        machine = machine_page(outcome.result.comparability if outcome.result is not None else None)
        for page in (*([machine] if machine else []), *plugin_pages(outcome.planned.identity)):
            known = found.setdefault(page.slug, page)
            found[page.slug] = msgspec.structs.replace(page, facts=list(dict.fromkeys([*known.facts, *page.facts])))
    return list(found.values())
