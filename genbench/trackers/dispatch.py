"""Telling reporters what happens in a run, each in a process of its own, so that none can harm the run.

An event is told while the worker waits for its answer, so what a reporter does with it is off the clock. A reporter
that takes longer than `WINDOW_SECONDS` is not waited for any more until it has caught up: its events queue up here.
Whatever it does wrong (it raises, dies, falls behind, does not end) is a warning, and costs its own output only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from genbench.errors import UsageError
from genbench.plugins.loader import Plugin
from genbench.process.exit_status import describe_status
from genbench.process.lines import Lines
from genbench.results.schema import Choice
from genbench.results.store import RunDirectory
from genbench.trackers.messages import TrackerEvent, TrackerReply, TrackerSetup

START_SECONDS = 60.0  # to import its library and to be created
WINDOW_SECONDS = 1.0  # for the answer to a window, off the clock
EVENT_SECONDS = 10.0  # for that to any other event: a tracker may begin or end a run of its own
END_SECONDS = 30.0  # to write what it holds back; GENBENCH_REPORTER_TIMEOUT stands for these limits but the second
NO_MORE = "; it is told no more"  # how such a warning ends
MOST_WAITING = 10_000  # events; of a reporter that is further behind, windows are left out


class TrackerProcess:
    """One reporter's process; it runs `main(descriptor)` of the module that is named."""

    def __init__(
        self,
        choice: Choice,
        plugin: Plugin,
        run: RunDirectory,
        warn: Callable[[str], None],
        module: str = "genbench.trackers.process",
    ) -> None:
        self.name, self.log, self._warn = choice.name, run.log_path(f"reporter-{choice.name}"), warn
        self.unavailable = self.fault = ""
        self._waiting: deque[bytes] = deque()
        self._unanswered = 0
        self._killed = False
        self._warned: set[str] = set()
        self.gone = False  # nothing is told it any more
        ours, theirs = socket.socketpair()
        # It looks for modules exactly where this process does: not in the working directory, where -m would look.
        program = f"import sys; sys.path[:] = {sys.path!r}; import {module} as l; l.main("
        self.log.parent.mkdir(exist_ok=True)
        with theirs, self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{program}{theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches the supervisor only
            )
        ours.setblocking(False)
        self._lines = Lines(ours)
        commission = TrackerSetup(
            reporter=choice.name, options=choice.options, plugin=dataclasses.asdict(plugin), run=str(run.path.resolve())
        )
        self._put(commission)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def caught_up(self, deadline: float) -> bool:
        """Wait until all that was told is answered; return whether it was by the deadline (monotonic clock)."""
        return self._wait(deadline)

    def started(self, deadline: float) -> None:
        """Wait until it is there."""
        if not self._wait(deadline) and not self.gone:
            self._give_up("was not ready in time")
            self.kill()

    def tell(self, told: TrackerEvent) -> None:
        """Tell an event, and wait a moment until it has been dealt with, unless earlier ones have not."""
        caught_up = self._wait(0.0)
        if self.gone:
            return
        if told.event == "window_finished" and len(self._waiting) >= MOST_WAITING:
            self._warn_once("is too far behind: windows are left out")
            return
        self._put(told)
        patience = WINDOW_SECONDS if told.event == "window_finished" else _limit(EVENT_SECONDS)
        answered = self._wait(time.monotonic() + patience if caught_up else 0.0)
        if caught_up and not (answered or self.gone):
            self._warn_once(
                f"takes longer than {patience:g} s: what it does meanwhile may slow down the windows that are timed"
            )

    def tell_last(self, told: TrackerEvent) -> None:
        """Tell an event without waiting for its end; `end` does."""
        if not self.gone:
            self._put(told)
            self._wait(0.0)

    def end(self, deadline: float) -> None:
        """Wait until it has ended; whatever is left at the deadline is killed."""
        if not self._wait(deadline) and not self.gone:
            self._give_up("was still busy at the end")
            self.kill()
        self._close()
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._warn(f"the reporter '{self.name}' did not end, and was killed; see {self.log}")
        self.kill()

    def kill(self) -> None:
        """End the process, and what it has started."""
        self._close()
        self.send_signal(signal.SIGKILL)
        self._killed = True
        self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it has started."""
        if not self._killed:  # later its number may be another's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _close(self) -> None:
        self.gone = True
        self._lines.socket.close()

    def _put(self, message: TrackerSetup | TrackerEvent) -> None:
        self._waiting.append(msgspec.json.encode(message) + b"\n")
        self._unanswered += 1

    def _wait(self, deadline: float) -> bool:
        """Exchange what can be exchanged until the deadline (monotonic clock); return whether all is answered."""
        while self._unanswered and not self.gone:
            writing = [self._lines.socket] if self._waiting else []
            nap = max(0.0, deadline - time.monotonic())
            readable, writable, _ = select.select([self._lines.socket], writing, [], nap)
            if writable:
                self._send()
            if readable:
                self._receive()
            if not (readable or writable):
                return False
        return not self._unanswered

    def _send(self) -> None:
        line = self._waiting.popleft()
        try:
            sent = self._lines.socket.send(line)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is gone: reading says how
        if sent < len(line):
            self._waiting.appendleft(line[sent:])

    def _receive(self) -> None:
        answers = self._lines.receive()
        if answers is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            code = self._process.poll()
            how = "closed its connection" if code is None else describe_status(-code if code < 0 else code << 8)
            self._give_up(how)
            return
        for answer in answers:
            try:
                heard = msgspec.json.decode(answer, type=TrackerReply)
            except msgspec.DecodeError:  # a library that writes into every descriptor it finds
                continue
            self._unanswered -= 1
            self.unavailable, self.fault = heard.unavailable, heard.fault
            if heard.unavailable:
                self.gone = True
            elif heard.fault:
                self._give_up(f"failed in {heard.fault}")

    def _warn_once(self, what: str) -> None:
        if what not in self._warned:
            self._warn(f"the reporter '{self.name}' {what}")
        self._warned.add(what)

    def _give_up(self, why: str) -> None:
        self.gone = True
        self._warn(f"the reporter '{self.name}' {why}{NO_MORE}, see {self.log}")


class Trackers:
    """The reporters of a run. A context manager: whatever still runs at its end is killed."""

    def __init__(self, warn: Callable[[str], None] = lambda text: None) -> None:
        self._warn = warn
        self._all: list[TrackerProcess] = []

    def start(self, run: RunDirectory, chosen: Sequence[tuple[Choice, Plugin]]) -> None:
        """Start a process for each; raise `UsageError` where one lacks what it needs."""
        for choice, plugin in chosen:
            self._all.append(TrackerProcess(choice, plugin, run, self._warn))
        deadline = time.monotonic() + _limit(START_SECONDS)
        for tracker in self._all:
            tracker.started(deadline)
        for tracker in self._all:
            if tracker.unavailable:
                without = ",".join(other.name for other in self._all if not other.unavailable) or "none"
                raise UsageError(
                    f"The reporter '{tracker.name}' cannot be used: {tracker.unavailable}",
                    f"Then go on, or go on without it: genbench run --resume {run.path} --reporters {without}",
                )

    def tell(self, event: str, cell: str = "", **fields: object) -> None:
        """Tell all of them an event; not to be called while a window is timed."""
        if self._all:
            told = TrackerEvent(event, cell, fields)
            for tracker in self._all:
                tracker.tell(told)

    def end(self, interrupted: bool) -> None:
        """Tell that the run is over, and wait until all have written what they hold back."""
        deadline = time.monotonic() + _limit(END_SECONDS)
        for tracker in self._all:
            tracker.tell_last(TrackerEvent("run_finished", fields={"interrupted": interrupted}))
        for tracker in self._all:
            tracker.end(deadline)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them: to stop them while something is measured without them, say."""
        for tracker in self._all:
            tracker.send_signal(number)

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._all:
            tracker.kill()


def _limit(seconds: float) -> float:
    with contextlib.suppress(ValueError):
        return float(os.environ.get("GENBENCH_REPORTER_TIMEOUT", "")) or seconds
    return seconds
