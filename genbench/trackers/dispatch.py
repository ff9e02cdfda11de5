"""Sending the events of a run to reporters, each in a process of its own, so that none can harm the run.

An event is sent while the worker waits for its answer, so what a reporter does with it is off the clock. The run does
not wait for a reporter that takes longer than `WINDOW_SECONDS` until it has caught up: its events queue up here. Any
fault (an exception, a crash, falling behind, not ending) becomes a warning, and costs only the reporter's own output.
"""

from __future__ import annotations

import dataclasses
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from genbench.errors import UsageError
from genbench.plugins.loader import Plugin
from genbench.process.lines import Lines
from genbench.process.spawn import ChildProcess, calling
from genbench.results.environment_variables import REPORTER_TIMEOUT, seconds_from
from genbench.results.files import encode_line
from genbench.results.schema import Choice
from genbench.results.store import RunDirectory
from genbench.trackers.cell_order import CellOrder
from genbench.trackers.messages import TrackerEvent, TrackerReply, TrackerSetup

# Time limits in seconds; GENBENCH_REPORTER_TIMEOUT replaces all of them but WINDOW_SECONDS.
START_SECONDS = 60.0  # to import its library and to be created
WINDOW_SECONDS = 1.0  # to answer a window, off the clock
EVENT_SECONDS = 10.0  # to answer any other event: a tracker may begin or end a run of its own
END_SECONDS = 30.0  # to write what it holds back
_EXIT_SECONDS = 1.0  # from the end of its connection to the end of the process
DISABLED = "; no further events will be sent to it"  # ends the warning about a reporter that is disabled
MOST_QUEUED = 10_000  # events; windows are dropped for a reporter that is further behind


class TrackerProcess:
    """One reporter's process; it runs `main(descriptor)` of the given module."""

    def __init__(
        self,
        choice: Choice,
        plugin: Plugin,
        run: RunDirectory,
        warn: Callable[[str], None],
        module: str = "genbench.trackers.process",
    ) -> None:
        self.name, self.log, self._warn = choice.name, run.log_path(f"reporter-{choice.name}"), warn
        self.unavailable = self.failure = ""
        self.disabled = False  # no further events are sent
        self._queue: deque[bytes] = deque()
        self._unanswered = 0
        self._warned: set[str] = set()
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = ChildProcess(calling(module, "main"), output=log)
        self._process.connection.setblocking(False)
        self._lines = Lines(self._process.connection)
        setup = TrackerSetup(
            reporter=choice.name, options=choice.options, plugin=dataclasses.asdict(plugin), run=str(run.path.resolve())
        )
        self._enqueue(setup)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def wait_until_ready(self, deadline: float) -> None:
        """Wait until the reporter has been created; disable one that is late."""
        if not self.wait_until_answered(deadline) and not self.disabled:
            self._disable("was not ready in time")
            self.kill()

    def wait_until_answered(self, deadline: float) -> bool:
        """Exchange data until everything is answered; return whether it was by the deadline (monotonic clock)."""
        while self._unanswered and not self.disabled:
            writing = [self._lines.socket] if self._queue else []
            left = max(0.0, deadline - time.monotonic())
            readable, writable, _ = select.select([self._lines.socket], writing, [], left)
            if writable:
                self._write()
            if readable:
                self._read_replies()
            if not (readable or writable):
                return False
        return not self._unanswered

    def send_event(self, event: TrackerEvent) -> None:
        """Send an event, and wait for its answer for a limited time, unless earlier events are unanswered."""
        caught_up = self.wait_until_answered(0.0)
        if self.disabled:
            return
        window = event.event == "window_finished"
        if window and len(self._queue) >= MOST_QUEUED:
            self._warn_once("is too far behind: windows are dropped")
            return
        self._enqueue(event)
        limit = WINDOW_SECONDS if window else seconds_from(REPORTER_TIMEOUT, EVENT_SECONDS)
        answered = self.wait_until_answered(time.monotonic() + limit if caught_up else 0.0)
        if caught_up and not (answered or self.disabled):
            self._warn_once(f"takes longer than {limit:g} s: its work may slow down the windows timed meanwhile")

    def send_last_event(self, event: TrackerEvent) -> None:
        """Send an event without waiting for its answer; `end` waits."""
        if not self.disabled:
            self._enqueue(event)
            self.wait_until_answered(0.0)

    def end(self, deadline: float) -> None:
        """Wait until everything is answered and the process has exited; kill it at the deadline."""
        if not self.wait_until_answered(deadline) and not self.disabled:
            self._disable("was still busy at the end")
            self.kill()
        self._disconnect()
        if not self._process.wait(max(0.1, deadline - time.monotonic())):
            self._warn(f"the reporter '{self.name}' did not end, and was killed; see {self.log}")
        self.kill()

    def kill(self) -> None:
        """Kill the process and everything that it has started."""
        self._disconnect()
        self._process.kill()

    def pause(self) -> None:
        """Let the process and everything that it has started stop until `resume` is called."""
        self._process.pause()

    def resume(self) -> None:
        """Let the process and everything that it has started go on."""
        self._process.resume()

    def _disconnect(self) -> None:
        self.disabled = True
        self._lines.socket.close()

    def _enqueue(self, message: TrackerSetup | TrackerEvent) -> None:
        self._queue.append(encode_line(message) + b"\n")
        self._unanswered += 1

    def _write(self) -> None:
        line = self._queue.popleft()
        try:
            sent = self._lines.socket.send(line)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the process has gone: reading will show how
        if sent < len(line):
            self._queue.appendleft(line[sent:])

    def _read_replies(self) -> None:
        lines = self._lines.receive()
        if lines is None:
            exited = self._process.wait(_EXIT_SECONDS)
            self._disable(self._process.describe() if exited else "closed its connection")
            return
        for line in lines:
            try:
                reply = msgspec.json.decode(line, type=TrackerReply)
            except msgspec.DecodeError:  # written by a library that writes to every descriptor it finds
                continue
            self._unanswered -= 1
            self.unavailable, self.failure = reply.unavailable, reply.failure
            if reply.unavailable:
                self.disabled = True
            elif reply.failure:
                self._disable(f"failed in {reply.failure}")

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warn(f"the reporter '{self.name}' {text}")
        self._warned.add(text)

    def _disable(self, reason: str) -> None:
        self.disabled = True
        self._warn(f"the reporter '{self.name}' {reason}{DISABLED}, see {self.log}")


class Trackers:
    """The reporters of a run. A context manager: processes that still run at its end are killed."""

    def __init__(self, warn: Callable[[str], None] = lambda text: None) -> None:
        self._warn = warn
        self._all: list[TrackerProcess] = []
        self._order = CellOrder()

    def start(self, run: RunDirectory, chosen: Sequence[tuple[Choice, Plugin]]) -> None:
        """Start a process for each; raise `UsageError` where one lacks what it needs."""
        for choice, plugin in chosen:
            self._all.append(TrackerProcess(choice, plugin, run, self._warn))
        deadline = time.monotonic() + seconds_from(REPORTER_TIMEOUT, START_SECONDS)
        for tracker in self._all:
            tracker.wait_until_ready(deadline)
        for tracker in self._all:
            if tracker.unavailable:
                others = ",".join(other.name for other in self._all if not other.unavailable) or "none"
                raise UsageError(
                    f"The reporter '{tracker.name}' cannot be used: {tracker.unavailable}",
                    f"Then go on, or go on without it: genbench run --resume {run.path} --reporters {others}",
                    code="GB903",
                )

    def send_event(self, event: str, cell: str = "", **fields: object) -> None:
        """Send an event to all of them; not to be called while a window is timed."""
        if self._all:
            for message in self._order.arrive(TrackerEvent(event, cell, fields)):
                for tracker in self._all:
                    tracker.send_event(message)

    def end(self, interrupted: bool) -> None:
        """Send the end of the run, and wait until all of them have written what they hold back."""
        for message in self._order.rest():
            for tracker in self._all:
                tracker.send_event(message)
        deadline = time.monotonic() + seconds_from(REPORTER_TIMEOUT, END_SECONDS)
        for tracker in self._all:
            tracker.send_last_event(TrackerEvent("run_finished", fields={"interrupted": interrupted}))
        for tracker in self._all:
            tracker.end(deadline)

    def pause(self) -> None:
        """Let all of them stop until `resume` is called, while something is measured without them."""
        for tracker in self._all:
            tracker.pause()

    def resume(self) -> None:
        """Let all of them go on."""
        for tracker in self._all:
            tracker.resume()

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._all:
            tracker.kill()
