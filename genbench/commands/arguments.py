"""The arguments of `genbench.run` and `plan` as a request: the names and meanings of flags and TOML keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from genbench.errors import UsageError
from genbench.planning.request import Request, make_request, read_config

PluginSource: TypeAlias = str | Path | ModuleType
OptionValues: TypeAlias = Mapping[str, Any] | Sequence[str]  # {"dcgan.width": 32}, or texts as of --set


def request_of(given: Mapping[str, Any]) -> Request:
    """Return the request; None means that an argument is not given. Raises `UsageError` as flags do."""
    values = {**given}
    config = values.pop("config", None)
    return make_request({**(read_config(config) if config is not None else {}), **plain_arguments(values)})


def plain_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are given in the forms of flags and TOML keys."""
    return {name: _PARSERS.get(name, _plain)(value) for name, value in given.items() if value is not None}


def request_with_options(given: Mapping[str, Any], options: OptionValues) -> Request:
    """Return the request of these values and options, where None is not given; raise `UsageError` as flags do."""
    if isinstance(options, Mapping):
        return request_of({**given, "set": options})
    return make_request(plain_arguments(given), [options] if isinstance(options, str) else options)


def names_of(text: str | Sequence[str]) -> list[str]:
    """Return names that are given as a list, or as text with commas."""
    parts = [text] if isinstance(text, str) else text
    return [name.strip() for part in parts for name in part.split(",") if name.strip()]


def described(function: str, given: Mapping[str, Any]) -> list[str]:
    """Return a call for readers, in place of the command line of a run."""
    shown = [f"{name}={_shown(value)}" for name, value in given.items() if value is not None]
    return [f"genbench.{function}({', '.join(shown)})"]


def plugin_paths(plugins: PluginSource | Sequence[PluginSource]) -> list[str]:
    """Return the files of these plugins; raise `UsageError` for a module without one: workers load it anew."""
    given = [plugins] if isinstance(plugins, str | Path | ModuleType) else plugins
    return [_file_of(plugin) for plugin in given]


def _file_of(plugin: PluginSource) -> str:
    if isinstance(plugin, str | Path):
        return str(plugin)
    if not isinstance(plugin, ModuleType):
        raise UsageError(
            f"{plugin!r} is neither a file nor a module.",
            "Workers are other processes and load plugins from files: give the path of the .py file that defines it.",
            code="GB203",
        )
    file = getattr(plugin, "__file__", None)
    if file is None or not file.endswith(".py") or plugin.__name__ == "__main__":
        raise UsageError(
            f"The module '{plugin.__name__}' has no file of its own, from which workers, which are other processes, "
            "could load it.",
            "Write it to a file, in a notebook with %%writefile my_plugin.py, and give its path.",
            code="GB203",
        )
    return str(file)


def _tables(tables: Any) -> Any:
    """Return settings as one table per name: ``{"dcgan.width": 32}`` means ``{"dcgan": {"width": 32}}``."""
    if not isinstance(tables, Mapping):
        return tables
    nested: dict[str, Any] = {}
    for name, value in tables.items():
        owner, dot, option = str(name).rpartition(".")
        if dot and not isinstance(value, Mapping):
            nested.setdefault(owner, {})[option] = _plain(value)
        elif isinstance(value, Mapping):
            nested.setdefault(str(name), {}).update(_plain(value))
        else:
            raise UsageError(
                f"set = {{{name!r}: {value!r}}} is not valid.", 'Write {"dcgan.width": 32} or {"dcgan": {"width": 32}}.'
            )
    return nested


def _plain(value: Any) -> Any:
    """Return tuples and ranges as lists and paths as text, as TOML and flags have them."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range | set | frozenset):
        return [_plain(item) for item in value]
    return value


def _targets(value: Any) -> Any:
    return [f"{metric}={number}" for metric, number in value.items()] if isinstance(value, Mapping) else _plain(value)


_PARSERS: dict[str, Callable[[Any], Any]] = {"plugins": plugin_paths, "set": _tables, "target": _targets}


def _shown(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    return repr(str(value) if isinstance(value, Path) else value)
