"""The reporters of a run. They do not belong to the identity of its cells, because they do not change any number."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.api.options import resolve_options
from genbench.errors import UsageError
from genbench.planning.identity import origin
from genbench.planning.settings import Settings, own_settings
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import Choice


def choose_reporters(names: Iterable[str], settings: Settings, catalogue: Catalogue) -> list[Choice]:
    """Return the reporters with these names and their options; raise `UsageError` for an unknown name or option."""
    try:
        entries = [catalogue.require("reporters", name) for name in names]
    except UsageError as error:  # in a resumed run: its plugin may have been uninstalled
        raise UsageError(
            error.cause, f"{error.cure}\nOr run without reporters: --reporters none", code=error.code
        ) from None
    return [
        Choice(
            name=entry.spec.name,
            options=resolve_options(entry.spec.option_schema, own_settings(settings, entry.spec), entry.spec.name),
            origin=origin(entry.plugin),
        )
        for entry in entries
    ]
