"""Finding plugins and loading them; an error affects only the plugin that causes it.

Built-in plugins are loaded like all others: each is a module with hook implementations. `load_plugin` imports a module
into the current process; `genbench.plugins.catalogue` decides in which process that happens.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, cast

import pluggy

from genbench.api import hookspecs
from genbench.api.specs import (
    DatasetSpec,
    ExecutorSpec,
    ExtractorSpec,
    FamilySpec,
    LossSpec,
    MetricSpec,
    ModelSpec,
    ReporterSpec,
    Spec,
)
from genbench.api.version import declared_api, require_api
from genbench.errors import GenbenchError, SpecError, UsageError, near_miss
from genbench.plugins.process_guard import preserved_process_state

ENTRY_POINT_GROUP = "genbench"

BUILTIN_MODULES = (
    "genbench.builtin.families",
    "genbench.builtin.models",
    "genbench.builtin.losses",
    "genbench.builtin.datasets",
    "genbench.builtin.feature_metrics",  # before the other metrics: the order of metrics is part of the ids of cells
    "genbench.builtin.extractors",
    "genbench.builtin.metrics",
    "genbench.builtin.executors",
)

Kind: TypeAlias = Literal["families", "models", "losses", "datasets", "extractors", "metrics", "reporters", "executors"]

SPEC_TYPES: dict[Kind, type[Spec]] = {
    "families": FamilySpec,
    "models": ModelSpec,
    "losses": LossSpec,
    "datasets": DatasetSpec,
    "extractors": ExtractorSpec,
    "metrics": MetricSpec,
    "reporters": ReporterSpec,
    "executors": ExecutorSpec,
}

HOOKS: tuple[str, ...] = tuple(f"genbench_{kind}" for kind in SPEC_TYPES)


@dataclass(frozen=True)
class Plugin:
    """A plugin that was found: its origin, what it registers, and the reason if it is quarantined."""

    name: str  # of the entry point, the built-in module or the file
    origin: Literal["builtin", "entry-point", "file"]
    target: str  # module to import, or path of the file
    distribution: str
    version: str
    registers: dict[str, list[str]] = field(default_factory=dict)  # names by kind
    reason: str = ""  # why it is quarantined; empty: it is not
    traceback: str = ""
    notes: list[str] = field(default_factory=list)  # changes of the process that it made and that were restored

    @property
    def quarantined(self) -> bool:
        """Whether nothing of this plugin can be used."""
        return bool(self.reason)

    @property
    def title(self) -> str:
        """Name, distribution and version in one phrase."""
        return f"{self.name} ({self.distribution} {self.version})"

    @property
    def explanation(self) -> str:
        """The plugin and the reason for its quarantine, as the end of a sentence."""
        full_stop = "" if self.reason.endswith((".", "?")) else "."
        return f"plugin {self.title}, which is quarantined: {self.reason}{full_stop}"

    def quarantine(self, reason: str, traceback: str = "") -> Plugin:
        """Return the same plugin, quarantined for this reason."""
        return replace(self, reason=reason, traceback=traceback)


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin and the specs that it yielded (none if it is quarantined)."""

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
    """Return the plugins of installed distributions, sorted by name; nothing is imported."""
    found: dict[tuple[str, str], Plugin] = {}
    for distribution in importlib.metadata.distributions():
        for plugin in _declared_by(distribution):
            found.setdefault(
                (plugin.name, plugin.distribution), plugin
            )  # the first on the path is the one that is imported
    return sorted(found.values(), key=lambda plugin: (plugin.name, plugin.distribution))


def _declared_by(distribution: importlib.metadata.Distribution) -> list[Plugin]:
    """Return the plugins of one distribution; if its metadata are damaged, a single quarantined one."""
    declared = distribution.read_text("entry_points.txt") or ""
    if f"[{ENTRY_POINT_GROUP}]" not in declared:
        return []
    name = version = "unknown"
    try:
        name, version = distribution.name or name, distribution.version or version
        entries = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
        return [Plugin(e.name, "entry-point", e.value.partition("[")[0].strip(), name, version) for e in entries]
    except Exception:
        damaged = Plugin(name, "entry-point", "entry_points.txt", name, version)
        return [damaged.quarantine("its entry_points.txt cannot be read", traceback.format_exc())]


def file_plugins(paths: Sequence[str | Path]) -> list[Plugin]:
    """Return single-file plugins; the version is the hash of the file."""
    found: dict[Path, Plugin] = {}
    for given in paths:
        path = Path(given).expanduser().resolve()
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        except OSError as error:
            cure = "Give the path of an existing .py file to --plugin."
            raise UsageError(f"The plugin file {given} cannot be read: {error.strerror}.", cure, code="GB203") from None
        found[path] = Plugin(path.stem, "file", str(path), path.name, digest)
    return list(found.values())


def load_plugin(plugin: Plugin) -> LoadedPlugin:
    """Import a plugin, check its hooks and collect its specs; any error quarantines it, with the traceback."""
    if plugin.quarantined:
        return LoadedPlugin(plugin, {})
    registers: dict[str, list[str]] = {}
    notes: list[str] = []
    try:
        with preserved_process_state() as changes:
            specs = _import_specs(plugin, registers)
        notes += [f"importing it changed {change}: restored" for change in changes]
        return LoadedPlugin(replace(plugin, registers=registers, notes=notes), specs)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        failed = replace(plugin, registers=registers).quarantine(_describe(error), traceback.format_exc())
        return LoadedPlugin(failed, {})


def _import_specs(plugin: Plugin, registers: dict[str, list[str]]) -> dict[Kind, list[Spec]]:
    """Import the plugin and return what its hooks yield; `registers` is filled step by step, in case of an error."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    declared = None if plugin.origin == "builtin" else declared_api(plugin.target, plugin.origin == "file")
    require_api(declared)
    module = _import_module(plugin)
    if declared is None:
        require_api(getattr(module, "requires_api", None))
    manager.register(module, name=plugin.name)
    manager.check_pending()
    _require_hooks(module)
    specs: dict[Kind, list[Spec]] = {}
    for kind, spec_type in SPEC_TYPES.items():
        specs[kind] = found = []
        for yielded in getattr(manager.hook, f"genbench_{kind}")():
            for spec in _require_specs(yielded, kind, spec_type):
                found.append(spec)
                registers.setdefault(kind, []).append(spec.name)
    return specs


def _import_module(plugin: Plugin) -> ModuleType:
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
        raise SpecError(
            f"{plugin.target} is not a Python file.", "Rename the file so that it ends in .py.", code="GB203"
        )
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded  # for "name:attribute" strings and pickling
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded


def _require_hooks(module: ModuleType) -> None:
    """Raise `SpecError` if a plugin has no hooks, or a hook that would never be called because it is not decorated."""
    candidates = {name: getattr(module, name) for name in dir(module) if name.startswith("genbench_")}
    marked = [name for name, value in candidates.items() if hasattr(value, f"{hookspecs.PROJECT}_impl")]
    undecorated = [name for name, value in candidates.items() if callable(value) and name not in marked]
    forgotten = [name for name in undecorated if name in HOOKS] or ([] if marked else undecorated)
    if forgotten:
        name = forgotten[0]
        hint = "" if name in HOOKS else near_miss(name, HOOKS)
        raise SpecError(f"{name} is not marked as a hook. Decorate it with @genbench.hookimpl.{hint}")
    if not marked:
        raise SpecError(f"it does not implement any hook of genbench; the hooks are {', '.join(HOOKS)}.")


def _require_specs(yielded: Iterable[object], kind: Kind, spec_type: type[Spec]) -> Iterable[Spec]:
    hook = f"genbench_{kind}"
    if isinstance(yielded, Spec) or not isinstance(yielded, Iterable):
        raise SpecError(f"{hook} returned {type(yielded).__name__}; it must yield or return a list of specs.")
    for spec in yielded:
        if not isinstance(spec, spec_type):
            raise SpecError(f"{hook} yielded {type(spec).__name__}, not a {spec_type.__name__}.")
        yield spec


def _describe(error: BaseException) -> str:
    """Describe an error in one line; suggest a similar name for a misspelt hook."""
    if isinstance(error, GenbenchError):
        return f"{error.cause} {error.cure}".strip()
    if isinstance(error, pluggy.PluginValidationError):
        unknown = re.search(r"unknown hook '(\w+)'", str(error))
        if unknown:
            return f"There is no hook '{unknown[1]}'.{near_miss(unknown[1], HOOKS)}"
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {error}".rstrip(": ") + _suggest_field(error)


def _suggest_field(error: BaseException) -> str:
    """Suggest a similar name if a spec was given an unknown field; else return an empty string."""
    given = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    spec = next((t for t in SPEC_TYPES.values() if given and t.__name__ == given[1]), None)
    if given is None or spec is None:
        return ""
    return near_miss(given[2], [field.name for field in fields(spec)]).replace(" Did", ". Did", 1)
