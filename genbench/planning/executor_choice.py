"""The executor of a run. It does not belong to the identity of its cells, because it does not change what they are."""

from __future__ import annotations

from genbench.api.options import resolve_options
from genbench.planning.identity import origin
from genbench.planning.settings import Settings, own_settings
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import Choice

LOCAL = "local"


def choose_executor(name: str, settings: Settings, catalogue: Catalogue) -> Choice:
    """Return the executor with this name and its options; raise `UsageError` for an unknown name or option."""
    entry = catalogue.require("executors", name)
    options = resolve_options(entry.spec.option_schema, own_settings(settings, entry.spec), entry.spec.name)
    return Choice(name=entry.spec.name, options=options, origin=origin(entry.plugin))
