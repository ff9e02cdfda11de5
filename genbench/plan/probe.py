"""Loading third-party plugins in a process of their own, so that no plugin can harm the command line.

A plugin may raise, hang, print, exit or crash while it is imported. `probe` loads plugins one after another in a child
process and takes down what each says of itself. When the child dies or hangs, another is started for the rest; the
plugin that a fresh child cannot load is the one at fault, and is quarantined.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec

from genbench.errors import UsageError
from genbench.plan.specdata import spec_from_data, spec_to_data
from genbench.plugins import SPEC_TYPES, LoadedPlugin, Plugin, load_plugin

PLUGIN_SECONDS = 30.0  # time that importing one plugin may take; GENBENCH_PLUGIN_TIMEOUT changes it
LAST_SECONDS = 2.0  # from the end of the child's answers to the end of the child


def probe(plugins: Sequence[Plugin], seconds: float | None = None) -> list[LoadedPlugin]:
    """Load plugins in a child process; return, in order, what each registers or why it is quarantined.

    `seconds` is the time that one plugin may take; without it, the environment or `PLUGIN_SECONDS` says so.
    """
    limit = seconds or _limit_from(os.environ.get("GENBENCH_PLUGIN_TIMEOUT", ""))
    found: list[LoadedPlugin] = []
    while len(found) < len(plugins):
        waiting = plugins[len(found) :]
        arrived, fault = _run_child(waiting, limit)
        # A child that loaded others before it died is no proof against the plugin it died at: that one gets its own.
        found += arrived or [LoadedPlugin(waiting[0].quarantine(*fault), {})]
    return found


def _limit_from(text: str) -> float:
    try:
        limit = float(text or PLUGIN_SECONDS)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise UsageError(f"GENBENCH_PLUGIN_TIMEOUT = {text!r} cannot be read.", "Set it to a number of seconds.")
    return limit


def _run_child(plugins: Sequence[Plugin], limit: float) -> tuple[list[LoadedPlugin], tuple[str, str]]:
    """Return the plugins that answered, and the fault (reason, output) of the one after them."""
    answers, answers_write = os.pipe()
    # The child looks for modules exactly where this process does: not in the working directory, where -m would look.
    program = f"import sys; sys.path[:] = {sys.path!r}; import genbench.plan.probe as p; p.serve({answers_write})"
    with open(answers, "rb", buffering=0) as answers_file:  # noqa: PTH123 - a descriptor, not a path
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=[answers_write],
            start_new_session=True,
        )
        os.close(answers_write)
        assert child.stdin is not None
        assert child.stdout is not None
        with child.stdout:
            try:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(msgspec.json.encode([dataclasses.asdict(p) for p in plugins]))
                    child.stdin.close()
                heard = _listen(answers_file, child.stdout, len(plugins), limit)
                if not heard.fault and len(heard.arrived) < len(plugins):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(LAST_SECONDS)  # it closed the pipe: let it end by itself, and say how
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)  # with whatever the plugins have started
                code = child.wait()
            _keep_end(child.stdout, heard)
    if heard.fault:
        reason = heard.fault
    elif code < 0:
        name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
        reason = f"loading it ended the process with {name}"
    else:
        reason = f"loading it ended the process with exit status {code}"
    return heard.arrived, (reason, heard.output.decode(errors="replace"))


@dataclass
class _Heard:
    """What came from the child: answers, the end of what plugins printed, and a fault that its end does not tell."""

    arrived: list[LoadedPlugin] = field(default_factory=list)
    output: bytes = b""
    fault: str = ""


def _listen(answers: IO[bytes], output: IO[bytes], count: int, limit: float) -> _Heard:
    """Read answers until all are there, the child has closed the pipe, or one takes longer than `limit` seconds."""
    heard = _Heard()
    buffer = b""
    os.set_blocking(output.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        selector.register(output, selectors.EVENT_READ)
        deadline = time.monotonic() + limit
        while len(heard.arrived) < count:
            ready = [key.fileobj for key, _ in selector.select(max(0.0, deadline - time.monotonic()))]
            if output in ready and not _keep_end(output, heard):
                selector.unregister(output)
            if answers in ready:
                chunk = answers.read(65536)
                if not chunk:
                    break
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    try:
                        heard.arrived.append(_from_answer(msgspec.json.decode(line)))
                    except Exception as error:
                        heard.fault = f"what it says of itself cannot be read: {type(error).__name__}: {error}"
                        return heard
                    deadline = time.monotonic() + limit
            if time.monotonic() >= deadline:
                heard.fault = f"it did not finish loading within {limit:g} s"
                break
    return heard


def _keep_end(output: IO[bytes], heard: _Heard, size: int = 4000) -> bool:
    """Take what the pipe holds now, keep the last `size` bytes of all, and return whether more may come."""
    chunk = output.read(1 << 20)
    heard.output = (heard.output + (chunk or b""))[-size:]
    return chunk != b""  # None: nothing for now; b"": the end


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
    with open(descriptor, "wb", buffering=0) as answers:
        for plugin in plugins:
            answers.write(_answer(load_plugin(plugin)) + b"\n")
    os._exit(0)  # a plugin's threads and exit handlers have no say
