"""Plugin files that could not be loaded, and whether the request asks for something of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from genbench.errors import UsageError
from genbench.plugins.catalogue import SINGULAR, Catalogue
from genbench.plugins.loader import Kind, Plugin

_QUOTED = re.compile(r"""["']([a-z0-9][a-z0-9._-]*)["']""")


def require_usable_files(catalogue: Catalogue, used: Iterable[tuple[Kind, str]], asked: Collection[str]) -> None:
    """Raise `UsageError` for a quarantined file that registers a name in use: the user wants what the file registers.

    Args:
        catalogue: all plugins.
        used: kind and name of everything that the plan uses.
        asked: the names in the request. They are looked up in the text of a file that failed before it registered
            anything.
    """
    named = list(used)
    for plugin in catalogue.plugins:
        if plugin.origin != "file" or not plugin.quarantined:
            continue
        claims = [f"the {SINGULAR[kind]} '{name}'" for kind, name in named if name in plugin.registers.get(kind, [])]
        if not plugin.registers:
            claims = [f"'{name}'" for name in asked if name in _names_in(plugin)]
        if claims:
            raise UsageError(
                f"The file {plugin.target} was given for {', '.join(dict.fromkeys(claims))}, but it cannot be used: it "
                f"is the {plugin.explanation}",
                "Correct the file (`genbench plugin list --plugin FILE` shows the traceback), or leave it out to use "
                "what is installed under this name.",
                code="GB202",
            )


def _names_in(plugin: Plugin) -> set[str]:
    """Return the texts in a file that could be names."""
    try:
        return set(_QUOTED.findall(Path(plugin.target).read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return set()
