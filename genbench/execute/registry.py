"""The worker's own catalogue: built-in plugins and those third-party ones that its job needs, really imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genbench.errors import SpecError
from genbench.plan.catalogue import Catalogue, combine
from genbench.plugins import Plugin, builtin_plugins, load_plugin


def load_registry(plugins: Sequence[dict[str, Any]]) -> Catalogue:
    """Import the plugins into this process; raise `SpecError` where one that was fine in the plan fails now."""
    catalogue = combine(load_plugin(plugin) for plugin in [*builtin_plugins(), *(Plugin(**data) for data in plugins)])
    for plugin in catalogue.plugins:
        if plugin.quarantined:
            raise SpecError(
                f"The plugin {plugin.title} failed to load in the worker: {plugin.reason}\n{plugin.traceback}"
            )
    return catalogue
