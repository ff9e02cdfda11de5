"""The worker's connection to the supervisor, and requests to stop."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

from genbench.process.lines import Lines
from genbench.process.messages import Activity, Message, Progress
from genbench.process.terminal_text import harmless

ShowCount: TypeAlias = Callable[[str, int, int], object]  # what is done, how much of it, out of how many
_COUNT_SECONDS = 1.0  # between two messages about the same work


class StopRequested(BaseException):
    """This worker was asked to stop; not an `Exception`, so that a plugin does not catch it by accident."""


class WorkerChannel:
    """The worker's connection to the supervisor. Each message waits for its answer: nothing is displayed on the clock.

    Without a connection, messages are dropped: when several processes train a cell, only the main one reports.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self.connection = connection
        self._lines = Lines(connection) if connection is not None else None
        self._owner = os.getpid()
        self._may_raise = True
        self.stop_requested = False
        self._counted, self._counted_at = "", 0.0

    def activity(self, text: str) -> None:
        """Report what is being done now; raises `StopRequested` again if a plugin has caught it before."""
        self.say(Activity(text))
        if self.stop_requested and self._may_raise:
            raise StopRequested

    def count(self, what: str, done: int, total: int) -> None:
        """Report how far some work outside training has come: at its start, then at most once a second."""
        now = time.monotonic()
        if what != self._counted or now - self._counted_at >= _COUNT_SECONDS:
            self._counted, self._counted_at = what, now
            self.activity(f"{what}: {done:,} of {total:,}")

    def progress(self, message: Progress) -> None:
        """Report the progress of the training."""
        self.say(message)

    def defer_stop(self) -> None:
        """From now on a request to stop only sets `stop_requested`: the caller checks it between windows."""
        self._may_raise = False

    def allow_stop(self) -> None:
        """From now on a request to stop interrupts whatever is running."""
        self._may_raise = True
        if self.stop_requested:
            raise StopRequested

    def handle_exception(self, error: BaseException) -> None:
        """Write the traceback of the exception being handled to the log; a full disk must not become a second error."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(harmless("".join(traceback.format_exception(error))))
            sys.stderr.flush()

    def handle_stop(self, number: int, frame: FrameType | None) -> None:
        """Note that the supervisor has asked this worker to stop."""
        self.stop_requested = True
        if self._may_raise:
            raise StopRequested

    def say(self, message: Message) -> None:
        """Send a message and wait for its answer; end this process if the supervisor has gone."""
        if os.getpid() != self._owner:
            os._exit(1)  # a copy of the worker, forked by a plugin, must not report for it
        self._deliver(message)

    def _deliver(self, message: Message) -> None:
        if self._lines is None:
            return
        try:
            self._lines.send(message)
            answered = self._lines.receive()
        except OSError:
            answered = None
        if answered is None:
            os._exit(1)  # nobody is left who needs the result
