"""Loading third-party plugins in a child process, so that none can harm the command line.

A plugin may raise, hang, print, exit or crash while it is imported. `probe` loads plugins one after another in a child
process and collects their specs. If the child dies or hangs, another one is started for the remaining plugins; a plugin
that a fresh child cannot load is quarantined.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from genbench.plugins.loader import SPEC_TYPES, LoadedPlugin, Plugin, load_plugin
from genbench.plugins.spec_transfer import spec_from_data, spec_to_data
from genbench.process.child import answering, ask_child
from genbench.results.environment_variables import PLUGIN_TIMEOUT, seconds_from

PLUGIN_SECONDS = 30.0  # time limit for importing one plugin; GENBENCH_PLUGIN_TIMEOUT changes it


def probe(plugins: Sequence[Plugin], seconds: float | None = None) -> list[LoadedPlugin]:
    """Load plugins in a child process; return, in order, what each registers or why it is quarantined.

    `seconds` is the time limit for one plugin; None: GENBENCH_PLUGIN_TIMEOUT, or else `PLUGIN_SECONDS`.
    """
    limit = seconds or seconds_from(PLUGIN_TIMEOUT, PLUGIN_SECONDS)
    found: list[LoadedPlugin] = []
    while len(found) < len(plugins):
        waiting = plugins[len(found) :]
        arrived: list[LoadedPlugin] = []
        ending = ask_child(
            "genbench.plugins.probe",
            msgspec.json.encode([dataclasses.asdict(plugin) for plugin in waiting]),
            len(waiting),
            limit,
            partial(_accept, arrived),
            "loading",
        )
        # If the child loaded other plugins before it died, the cause may be one of them: retry with a fresh child.
        found += arrived or [LoadedPlugin(waiting[0].quarantine(ending.reason, ending.text), {})]
    return found


def _accept(arrived: list[LoadedPlugin], line: bytes) -> None:
    arrived.append(_decode(msgspec.json.decode(line)))


def _decode(answer: dict[str, Any]) -> LoadedPlugin:
    plugin = Plugin(**answer["plugin"])
    specs = {kind: [spec_from_data(kind, data) for data in answer["specs"].get(kind, [])] for kind in SPEC_TYPES}
    return LoadedPlugin(plugin, specs)


def _encode(loaded: LoadedPlugin) -> bytes:
    try:
        specs = {kind: [spec_to_data(spec) for spec in specs] for kind, specs in loaded.specs.items()}
        return msgspec.json.encode({"plugin": dataclasses.asdict(loaded.plugin), "specs": specs})
    except (TypeError, ValueError) as error:
        fault = loaded.plugin.quarantine(f"one of its specs contains a value that is not plain data: {error}")
        return msgspec.json.encode({"plugin": dataclasses.asdict(fault), "specs": {}})


def serve(descriptor: int) -> None:
    """Run in the child: load the plugins given on standard input; write one answer per line to the descriptor."""
    plugins = [Plugin(**data) for data in msgspec.json.decode(sys.stdin.buffer.read())]
    with answering(descriptor) as answer:
        for plugin in plugins:
            answer(_encode(load_plugin(plugin)))
