"""The worker's own catalogue: built-in plugins and those third-party ones that its job needs, really imported."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from genbench.errors import SpecError
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import (
    LoadedPlugin,
    Plugin,
    builtin_plugins,
    load_plugin,
)


@functools.cache
def load_builtin_plugins() -> tuple[LoadedPlugin, ...]:
    """Return the built-in plugins, loaded: in the template once for all workers."""
    return tuple(load_plugin(plugin) for plugin in builtin_plugins())


def load_registry(plugins: Sequence[dict[str, Any]]) -> Catalogue:
    """Import the plugins into this process; raise `SpecError` where one that was fine in the plan fails now."""
    catalogue = combine([*load_builtin_plugins(), *(load_plugin(Plugin(**data)) for data in plugins)])
    for plugin in catalogue.plugins:
        if plugin.quarantined:
            raise SpecError(
                f"The plugin {plugin.title} failed to load in the worker: {plugin.reason}\n{plugin.traceback}"
            )
    return catalogue
