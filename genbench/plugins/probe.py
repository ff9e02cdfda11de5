"""Loading third-party plugins in a process of their own, so that no plugin can harm the command line.

A plugin may raise, hang, print, exit or crash while it is imported. `probe` loads plugins one after another in a child
process and takes down what each says of itself. When the child dies or hangs, another is started for the rest; the
plugin that a fresh child cannot load is the one at fault, and is quarantined.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from genbench.errors import UsageError
from genbench.plugins.loader import (
    SPEC_TYPES,
    LoadedPlugin,
    Plugin,
    load_plugin,
)
from genbench.plugins.spec_transfer import spec_from_data, spec_to_data
from genbench.process.child import answering, ask_child

PLUGIN_SECONDS = 30.0  # time that importing one plugin may take; GENBENCH_PLUGIN_TIMEOUT changes it


def probe(plugins: Sequence[Plugin], seconds: float | None = None) -> list[LoadedPlugin]:
    """Load plugins in a child process; return, in order, what each registers or why it is quarantined.

    `seconds` is the time that one plugin may take; without it, the environment or `PLUGIN_SECONDS` says so.
    """
    limit = seconds or _limit_from(os.environ.get("GENBENCH_PLUGIN_TIMEOUT", ""))
    found: list[LoadedPlugin] = []
    while len(found) < len(plugins):
        waiting = plugins[len(found) :]
        arrived: list[LoadedPlugin] = []
        ending = ask_child(
            "genbench.plugins.probe",
            msgspec.json.encode([dataclasses.asdict(plugin) for plugin in waiting]),
            len(waiting),
            limit,
            partial(_take, arrived),
            "loading",
        )
        # A child that loaded others before it died is no proof against the plugin it died at: that one gets its own.
        found += arrived or [LoadedPlugin(waiting[0].quarantine(ending.reason, ending.text), {})]
    return found


def _take(arrived: list[LoadedPlugin], line: bytes) -> None:
    arrived.append(_from_answer(msgspec.json.decode(line)))


def _limit_from(text: str) -> float:
    try:
        limit = float(text or PLUGIN_SECONDS)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise UsageError(f"GENBENCH_PLUGIN_TIMEOUT = {text!r} cannot be read.", "Set it to a number of seconds.")
    return limit


def _from_answer(answer: dict[str, Any]) -> LoadedPlugin:
    plugin = Plugin(**answer["plugin"])
    specs = {kind: [spec_from_data(kind, data) for data in answer["specs"].get(kind, [])] for kind in SPEC_TYPES}
    return LoadedPlugin(plugin, specs)


def _answer(loaded: LoadedPlugin) -> bytes:
    try:
        specs = {kind: [spec_to_data(spec) for spec in specs] for kind, specs in loaded.specs.items()}
        return msgspec.json.encode({"plugin": dataclasses.asdict(loaded.plugin), "specs": specs})
    except (TypeError, ValueError) as error:
        fault = loaded.plugin.quarantine(f"one of its specs holds a value that is not plain data: {error}")
        return msgspec.json.encode({"plugin": dataclasses.asdict(fault), "specs": {}})


def serve(descriptor: int) -> None:
    """Be the child: load the plugins named on standard input and write one answer a line to the descriptor."""
    plugins = [Plugin(**data) for data in msgspec.json.decode(sys.stdin.buffer.read())]
    with answering(descriptor) as answer:
        for plugin in plugins:
            answer(_answer(load_plugin(plugin)))
