"""Finding plugins and loading one of them, so that whatever goes wrong costs that plugin only.

Built-in plugins come through the same door as anybody's: a module with hook implementations. `load_plugin` imports a
module into this process; which process that should be is decided in `genbench.plan.catalogue`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, cast

import pluggy

from genbench import hookspecs
from genbench.errors import GenbenchError, SpecError, UsageError, near_miss
from genbench.specs import DatasetSpec, ExtractorSpec, FamilySpec, LossSpec, MetricSpec, ModelSpec, Spec

ENTRY_POINT_GROUP = "genbench"

BUILTIN_MODULES = (
    "genbench.builtin.families",
    "genbench.builtin.models",
    "genbench.builtin.losses",
    "genbench.builtin.datasets",
    "genbench.builtin.extractors",
    "genbench.builtin.metrics",
)

Kind: TypeAlias = Literal["families", "models", "losses", "datasets", "extractors", "metrics"]

SPEC_TYPES: dict[Kind, type[Spec]] = {
    "families": FamilySpec,
    "models": ModelSpec,
    "losses": LossSpec,
    "datasets": DatasetSpec,
    "extractors": ExtractorSpec,
    "metrics": MetricSpec,
}


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found: where it comes from, what it registers, and why it is quarantined if it is."""

    name: str  # of the entry point; of a built-in module; of the file
    origin: Literal["builtin", "entry-point", "file"]
    target: str  # module to import, or path of the file
    distribution: str
    version: str
    registers: dict[str, list[str]] = field(default_factory=dict)  # names by kind
    reason: str = ""  # why it is quarantined; empty: it is fine
    traceback: str = ""

    @property
    def quarantined(self) -> bool:
        """Whether nothing of this plugin can be used."""
        return bool(self.reason)

    @property
    def title(self) -> str:
        """Name, distribution and version in one phrase."""
        return f"{self.name} ({self.distribution} {self.version})"

    def quarantine(self, reason: str, traceback: str = "") -> Plugin:
        """Return the same plugin, set aside for this reason."""
        return replace(self, reason=reason, traceback=traceback)


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin and the specs it yielded (none when it is quarantined)."""

    plugin: Plugin
    specs: dict[Kind, list[Spec]]


def builtin_plugins() -> list[Plugin]:
    """Return the built-in plugins, not yet loaded."""
    from genbench import __version__

    return [
        Plugin(
            name=module.rpartition(".")[2],
            origin="builtin",
            target=module,
            distribution="genbench",
            version=__version__,
        )
        for module in BUILTIN_MODULES
    ]


def installed_plugins() -> list[Plugin]:
    """Return the plugins of installed distributions, in the order of their names; nothing is imported."""
    found = []
    for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        distribution = entry.dist.name if entry.dist else "unknown"
        version = entry.dist.version if entry.dist else "unknown"
        found.append(Plugin(entry.name, "entry-point", entry.value, distribution, version))
    return sorted(set_order(found), key=lambda plugin: (plugin.name, plugin.distribution))


def set_order(plugins: Iterable[Plugin]) -> list[Plugin]:
    """Return the plugins without repetitions: a distribution that is on the path twice is one plugin."""
    return list({(p.name, p.target, p.distribution): p for p in plugins}.values())


def file_plugins(paths: Sequence[str | Path]) -> list[Plugin]:
    """Return the plugins in single files; their version is the hash of their text."""
    found = []
    for given in paths:
        path = Path(given).expanduser().resolve()
        if not path.is_file():
            raise UsageError(f"There is no plugin file {given}.", "Name an existing .py file with --plugin.")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        found.append(Plugin(path.stem, "file", str(path), path.name, digest))
    return found


def load_plugin(plugin: Plugin) -> LoadedPlugin:
    """Import a plugin, check its hooks and collect its specs; every fault becomes a quarantine with its traceback."""
    registers: dict[str, list[str]] = {}
    try:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        module = _import(plugin)
        manager.register(module, name=plugin.name)
        manager.check_pending()
        _require_hooks(manager, module)
        specs: dict[Kind, list[Spec]] = {}
        for kind, spec_type in SPEC_TYPES.items():
            specs[kind] = found = []
            for yielded in getattr(manager.hook, f"genbench_{kind}")():
                for spec in _specs(yielded, kind, spec_type):
                    found.append(spec)
                    registers.setdefault(kind, []).append(spec.name)
        return LoadedPlugin(replace(plugin, registers=registers), specs)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        reason = error.cause if isinstance(error, GenbenchError) else f"{type(error).__name__}: {error}"
        reason += _misspelt_hook(error)
        fault = replace(plugin, registers=registers).quarantine(reason, traceback.format_exc())
        return LoadedPlugin(fault, {})


def _import(plugin: Plugin) -> ModuleType:
    if plugin.origin != "file":
        module_name, _, attribute = plugin.target.partition(":")
        module: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            module = getattr(module, part)
        return cast("ModuleType", module)
    name = f"genbench_plugin_{plugin.version}_{plugin.name}".replace("-", "_").replace(".", "_")
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, plugin.target)
    if spec is None or spec.loader is None:
        raise SpecError(f"{plugin.target} is not a Python file.", "Give the file the ending .py.")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded  # "name:attribute" strings and pickling find it
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded


def _require_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    if manager.get_hookcallers(module):
        return
    bare = [name for name in vars(module) if name.startswith("genbench_")]
    hint = f"Decorate {bare[0]} with @genbench.hookimpl." if bare else "See genbench/hookspecs.py."
    raise SpecError(f"it implements no hook of genbench. {hint}")


def _specs(yielded: Iterable[object], kind: Kind, spec_type: type[Spec]) -> Iterable[Spec]:
    hook = f"genbench_{kind}"
    if isinstance(yielded, Spec) or not isinstance(yielded, Iterable):
        raise SpecError(f"{hook} returned {type(yielded).__name__}; it must yield or return a list of specs.")
    for spec in yielded:
        if not isinstance(spec, spec_type):
            raise SpecError(f"{hook} yielded {type(spec).__name__}, not a {spec_type.__name__}.")
        yield spec


def _misspelt_hook(error: BaseException) -> str:
    if not isinstance(error, pluggy.PluginValidationError):
        return ""
    words = [word.strip("'\",.") for word in str(error).split() if "genbench_" in word]
    return near_miss(words[0], [f"genbench_{kind}" for kind in SPEC_TYPES]) if words else ""
