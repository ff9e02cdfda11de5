"""Loading third-party plugins in a process of their own, so that no plugin can harm the command line.

A plugin may raise, hang, print, exit or crash while it is imported. `probe` loads plugins one after another in a child
process and takes down what each says of itself; when the child dies or hangs, the plugin at fault is quarantined and
the child is started again for the rest. Run as a module, this file is that child.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

import msgspec

from genbench.plan.specdata import spec_from_data, spec_to_data
from genbench.plugins import SPEC_TYPES, LoadedPlugin, Plugin, load_plugin

PLUGIN_SECONDS = 60.0  # time that importing one plugin may take; GENBENCH_PLUGIN_TIMEOUT changes it


def probe(plugins: Sequence[Plugin], seconds: float | None = None) -> list[LoadedPlugin]:
    """Load plugins in a child process; return, in order, what each registers or why it is quarantined."""
    limit = seconds or float(os.environ.get("GENBENCH_PLUGIN_TIMEOUT", PLUGIN_SECONDS))
    found: list[LoadedPlugin] = []
    while len(found) < len(plugins):
        waiting = plugins[len(found) :]
        arrived, fault = _run_child(waiting, limit)
        found += arrived
        if len(arrived) < len(waiting):
            found.append(LoadedPlugin(waiting[len(arrived)].quarantine(*fault), {}))
    return found


def _run_child(plugins: Sequence[Plugin], limit: float) -> tuple[list[LoadedPlugin], tuple[str, str]]:
    """Return the plugins that answered, and the fault (reason, output) of the one after them."""
    read, write = os.pipe()
    with tempfile.TemporaryFile() as output, open(read, "rb", buffering=0) as answers:  # noqa: PTH123
        child = subprocess.Popen(
            [sys.executable, "-m", "genbench.plan.probe", str(write)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[write],
            start_new_session=True,
        )
        os.close(write)
        try:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(msgspec.json.encode([dataclasses.asdict(p) for p in plugins]))
                child.stdin.close()
            arrived, timed_out = _read_answers(answers, len(plugins), limit)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL if child.poll() is None else 0)
            code = child.wait()
        if timed_out:
            reason = f"it did not finish loading within {limit:g} s"
        elif code < 0:
            reason = f"loading it ended the process with {signal.Signals(-code).name}"
        else:
            reason = f"loading it ended the process with exit status {code}"
        return arrived, (reason, _tail(output))


def _read_answers(answers: IO[bytes], count: int, limit: float) -> tuple[list[LoadedPlugin], bool]:
    arrived: list[LoadedPlugin] = []
    buffer = b""
    deadline = time.monotonic() + limit
    while len(arrived) < count:
        ready, _, _ = select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return arrived, True
        chunk = answers.read(65536)
        if not chunk:
            return arrived, False
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            arrived.append(_from_answer(msgspec.json.decode(line)))
            deadline = time.monotonic() + limit
    return arrived, False


def _tail(output: IO[bytes], size: int = 4000) -> str:
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - size))
    return output.read().decode(errors="replace")


def _from_answer(answer: dict[str, Any]) -> LoadedPlugin:
    plugin = Plugin(**answer["plugin"])
    specs = {kind: [spec_from_data(kind, data) for data in answer["specs"].get(kind, [])] for kind in SPEC_TYPES}
    return LoadedPlugin(plugin, specs)


def _answer(loaded: LoadedPlugin) -> bytes:
    specs = {kind: [spec_to_data(spec) for spec in specs] for kind, specs in loaded.specs.items()}
    try:
        return msgspec.json.encode({"plugin": dataclasses.asdict(loaded.plugin), "specs": specs})
    except (TypeError, ValueError) as error:
        fault = loaded.plugin.quarantine(f"one of its specs holds a value that is not plain data: {error}")
        return msgspec.json.encode({"plugin": dataclasses.asdict(fault), "specs": {}})


def _child(descriptor: int) -> None:
    plugins = [Plugin(**data) for data in msgspec.json.decode(sys.stdin.buffer.read())]
    with open(descriptor, "wb", buffering=0) as answers:
        for plugin in plugins:
            answers.write(_answer(load_plugin(plugin)) + b"\n")
    sys.stdout.flush()
    os._exit(0)  # a plugin's threads and exit handlers have no say


if __name__ == "__main__":
    _child(int(sys.argv[1]))
