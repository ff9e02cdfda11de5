"""The catalogue of a worker: built-in plugins, and the third-party plugins of its job, imported into its process."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from genbench.errors import SpecError
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import LoadedPlugin, Plugin, builtin_plugins, load_plugin


@functools.cache
def load_builtin_plugins() -> tuple[LoadedPlugin, ...]:
    """Load the built-in plugins, once per process; the fork server does so once for all workers."""
    return tuple(load_plugin(plugin) for plugin in builtin_plugins())


def load_catalogue(plugins: Sequence[dict[str, Any]]) -> Catalogue:
    """Import plugins, given as fields of `Plugin`, into this process; raise `SpecError` if one fails to load here."""
    catalogue = combine([*load_builtin_plugins(), *(load_plugin(Plugin(**data)) for data in plugins)])
    for plugin in catalogue.plugins:
        if plugin.quarantined:
            raise SpecError(
                f"The plugin {plugin.title} failed to load in the worker: {plugin.reason}\n{plugin.traceback}",
                code="GB202",
            )
    return catalogue
