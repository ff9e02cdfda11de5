"""The process of an executor plugin, and the calls of its methods.

An engine's library may start threads, hang or crash: in a process of its own it can neither disturb a timed window nor
end the run. Calls and replies are JSON, one per line, over a socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from genbench.api.jobs import ExecutorSetup, ExecutorUnavailable, JobHandle, JobRequest, JobState, Resources
from genbench.api.options import OptionValue
from genbench.api.specs import ExecutorSpec, resolve
from genbench.errors import ExitCode, GenbenchError, SpecError, UsageError
from genbench.plugins.calls import PluginFunction
from genbench.plugins.loader import Plugin, load_plugin
from genbench.process.lines import Lines
from genbench.process.spawn import ChildProcess, calling, wait_for_other_end
from genbench.results.environment_variables import EXECUTOR_TIMEOUT, LONGEST, seconds_from

CALL_SECONDS = 60.0  # for one call of a method; GENBENCH_EXECUTOR_TIMEOUT replaces it
EXIT_SECONDS = 10.0  # for `close` of the executor, or more where calls may take more than a minute
_MOST_SAID = 2000  # characters of a reason
REQUIRED = ("submit", "poll", "cancel")
OPTIONAL = ("check", "collect", "close")


def call_seconds() -> float:
    """Return how long a call of a method may take."""
    return seconds_from(EXECUTOR_TIMEOUT, CALL_SECONDS)


def exit_seconds() -> float:
    """Return how long the executor's process may take to exit."""
    return max(EXIT_SECONDS, EXIT_SECONDS * call_seconds() / CALL_SECONDS)


class ExecutorFailed(GenbenchError):
    """A method of an executor raised an exception or did not answer."""

    exit_code = ExitCode.FAILED_CELLS
    code = "GB902"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a method; the first one creates the executor."""

    method: str
    number: int = 0  # of the call, which its reply repeats
    jobs: list[JobRequest] = []
    handles: list[JobHandle] = []
    needs: list[Resources] = []
    executor: str = ""
    options: dict[str, OptionValue] = {}
    plugin: dict[str, Any] = {}  # as fields of `Plugin`
    setup: ExecutorSetup | None = None


class Limits(msgspec.Struct, frozen=True):
    """The attributes of an executor."""

    capacity: int = 100
    poll_seconds: float = 5.0
    start_seconds: float | None = None
    shared: bool = False
    limits_time: bool = False
    collects: bool = False  # it has the method `collect`


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a call returned, or why it returned nothing."""

    number: int = 0  # of the call
    names: list[str] = []
    states: list[JobState] = []
    collected: bytes | None = None
    limits: Limits | None = None
    unavailable: str = ""
    failure: str = ""


def _from_path(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError


def _to_path(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError


_DECODE_CALL = msgspec.json.Decoder(Call, dec_hook=_to_path)
_DECODE_REPLY = msgspec.json.Decoder(Reply)
_ENCODE_CALL = msgspec.json.Encoder(enc_hook=_from_path)


class ExecutorProcess:
    """The process that runs an executor's code. Close it after use."""

    def __init__(self, name: str, options: dict[str, OptionValue], plugin: Plugin, setup: ExecutorSetup) -> None:
        """Create the executor; raises `UsageError` if it is unavailable, and `ExecutorFailed`."""
        self.name = name
        self.log = setup.run / "logs" / f"executor-{name}.log"  # what the plugin and its library print
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = ChildProcess(calling("genbench.runner.executor_process", "main"), output=log)
        self._lines = Lines(self._process.connection)
        self._calls = 0
        try:
            created = Call(
                method="create", executor=name, options=options, plugin=dataclasses.asdict(plugin), setup=setup
            )
            reply = self.call(created)
            if reply.unavailable:
                raise UsageError(
                    f"The executor '{name}' cannot be used: {reply.unavailable}",
                    "Then go on with the same command, or choose another --executor.",
                    code="GB901",
                )
            self.limits = reply.limits or Limits()
        except BaseException:
            self.close()
            raise

    def call(self, call: Call) -> Reply:
        """Call a method and return its reply; raises `ExecutorFailed`.

        Calls have numbers: a reply that comes after its call was given up is not taken for that of the next one.
        """
        limit = call_seconds()
        self._calls += 1
        call = msgspec.structs.replace(call, number=self._calls)
        try:
            self._send(call, limit)
            reply = self._receive(call.number, time.monotonic() + limit)
        except (OSError, msgspec.MsgspecError) as error:
            raise self._failed(call, f"{type(error).__name__}: {error}") from None
        if reply is None:
            how = "" if self._process.running else self._process.describe()
            raise self._failed(call, f"its process {how}" if how else f"it did not answer within {limit:g} s")
        if reply.failure:
            raise self._failed(call, reply.failure)
        return reply

    @property
    def running(self) -> bool:
        """Whether the process has not exited."""
        return self._process.running

    def close(self) -> bool:
        """End the process with everything that it has started here; return whether it ended by itself."""
        self._lines.socket.close()
        ended = self._process.wait(exit_seconds())
        self._process.close()
        return ended

    def _failed(self, call: Call, what: str) -> ExecutorFailed:
        return ExecutorFailed(
            f"The executor '{self.name}' failed in {call.method}: {what}; see {self.log}.",
            "No result is lost, and jobs that run go on: resume the run, which takes them over.",
        )

    def _send(self, call: Call, limit: float) -> None:
        """Send a call; a process that takes only a part of it, because it hangs, is of no use any more."""
        self._lines.socket.settimeout(limit)
        try:
            self._lines.socket.sendall(_ENCODE_CALL.encode(call) + b"\n")
        except TimeoutError:
            self._process.kill()
            raise
        finally:
            self._lines.socket.settimeout(None)

    def _receive(self, number: int, deadline: float) -> Reply | None:
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([self._lines.socket], [], [], left)
            if ready:
                lines = self._lines.receive()
                if lines is None:
                    self._process.wait()
                    return None
                for reply in map(_DECODE_REPLY.decode, lines):
                    if reply.number == number:
                        return reply
        return None


def main(descriptor: int) -> None:
    """Run as the process of an executor, connected by the socket with this descriptor."""
    threading.Thread(target=_exit_after, args=(descriptor,), daemon=True).start()
    lines = Lines(socket.socket(fileno=descriptor))
    executor: Any = None
    while (received := lines.receive()) is not None:
        for line in received:
            call = _DECODE_CALL.decode(line)
            try:
                if call.method == "create":
                    executor = _create(call)
                    reply = Reply(limits=_limits(executor))
                else:
                    reply = _call(executor, call)
            except ExecutorUnavailable as error:
                reply = Reply(unavailable=str(error), failure="" if call.method == "create" else str(error))
            except BaseException as error:  # also SystemExit, which a library may raise
                with contextlib.suppress(Exception):  # a plugin may have closed it
                    traceback.print_exc()
                reply = Reply(failure=_describe(error))
            with contextlib.suppress(OSError, ValueError, AttributeError):  # whatever a plugin has made of it
                sys.stderr.flush()
            lines.send(msgspec.structs.replace(reply, number=call.number))
    if callable(getattr(executor, "close", None)):
        executor.close()
    os._exit(0)  # skips threads and exit handlers of a library


def _exit_after(descriptor: int) -> None:
    """Exit soon after the run's process has gone, also where a method never returns."""
    wait_for_other_end(descriptor)
    time.sleep(exit_seconds())
    os._exit(1)


def _describe(error: BaseException) -> str:
    if isinstance(error, SpecError):
        return f"{error.cause} {error.cure}".strip().rstrip(".")
    try:
        said = str(error)
    except Exception as another:
        said = f"its message cannot be shown ({type(another).__name__})"
    return f"{type(error).__name__}: {said}".rstrip(": .")


def _create(call: Call) -> Any:
    loaded = load_plugin(Plugin(**call.plugin))
    if loaded.plugin.quarantined:
        raise SpecError(f"its plugin failed to load: {loaded.plugin.reason}", code="GB202")
    spec = next(spec for spec in loaded.specs["executors"] if spec.name == call.executor)
    assert isinstance(spec, ExecutorSpec)
    create = PluginFunction(f"executor '{spec.name}'", "create(setup, options)", resolve(spec.create))
    executor = create(call.setup, spec.make_options(call.options))
    missing = [name for name in REQUIRED if not callable(getattr(executor, name, None))]
    if missing:
        raise create.returned(executor, f"an object with the methods {', '.join(REQUIRED)}", f"It has no {missing[0]}.")
    return executor


def _limits(executor: Any) -> Limits:
    names = ("capacity", "poll_seconds", "start_seconds", "shared", "limits_time")
    given = {name: getattr(executor, name) for name in names if getattr(executor, name, None) is not None}
    try:
        limits = msgspec.convert({**given, "collects": callable(getattr(executor, "collect", None))}, Limits)
    except msgspec.ValidationError as error:
        raise SpecError(f"an attribute of the executor is not valid: {error}.") from None
    if limits.capacity < 1 or not 0 < limits.poll_seconds <= LONGEST:
        raise SpecError(f"capacity must be at least 1, and poll_seconds positive and at most {LONGEST:g}.")
    if limits.start_seconds is not None and not 0 <= limits.start_seconds < float("inf"):
        raise SpecError("start_seconds must be a number that is not negative, or None.")
    return limits


def _call(executor: Any, call: Call) -> Reply:
    method: Any = getattr(executor, call.method, None)
    if method is None and call.method in OPTIONAL:
        return Reply(names=[""] * len(call.needs))
    if call.method == "check":
        return Reply(names=_texts(method(call.needs), call, len(call.needs)))
    if call.method == "submit":
        return Reply(names=_texts(method(call.jobs), call, len(call.jobs), fewer=True))
    if call.method == "poll":
        states = method(call.handles)
        if not isinstance(states, Sequence) or len(states) != len(call.handles):
            raise SpecError(f"poll must return one JobState for each of its {len(call.handles)} jobs, not {states!r}.")
        return Reply(states=[_shortened(s) for s in msgspec.convert([*states], list[JobState], from_attributes=True)])
    if call.method == "collect":
        collected = method(call.handles[0])
        if not isinstance(collected, bytes | None):
            raise SpecError(f"collect must return bytes or None, not {type(collected).__name__}.")
        return Reply(collected=collected)
    method(*([call.handles] if call.method == "cancel" else []))
    return Reply()


def _shortened(state: JobState) -> JobState:
    """Return a state with a reason that fits into a result."""
    if len(state.reason) <= _MOST_SAID:
        return state
    return dataclasses.replace(state, reason=f"{state.reason[:_MOST_SAID]} …")


def _texts(returned: Any, call: Call, count: int, fewer: bool = False) -> list[str]:
    well_formed = isinstance(returned, list | tuple) and all(isinstance(text, str) for text in returned)
    if not well_formed or len(returned) > count or (len(returned) < count and not fewer):
        most = "at most " if fewer else ""
        raise SpecError(f"{call.method} must return {most}{count} texts, not {returned!r}.")
    return [*returned]
