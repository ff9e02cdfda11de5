"""The worker's line to the supervisor, and requests to stop."""

from __future__ import annotations

import os
import socket
from types import FrameType

from genbench.process.lines import Lines
from genbench.process.messages import Activity, Message, Progress


class StopRequested(BaseException):
    """Somebody asked this worker to stop; not an Exception, so that no plugin swallows it."""


class WorkerChannel:
    """The worker's line to the supervisor. Each message waits for its answer, so nothing is shown on the clock.

    Without a connection nothing is said: of several processes that train a cell, one speaks.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        self.connection = connection
        self._lines = Lines(connection) if connection is not None else None
        self._owner = os.getpid()
        self._may_raise = True
        self.stop_requested = False

    def activity(self, text: str) -> None:
        """Say what is being done now; raises `StopRequested` where a plugin has swallowed it before."""
        self._say(Activity(text))
        if self.stop_requested and self._may_raise:
            raise StopRequested

    def progress(self, message: Progress) -> None:
        """Say how far training has come."""
        self._say(message)

    def say(self, message: Message) -> None:
        """Send any message."""
        self._say(message)

    def defer_stop(self) -> None:
        """From now on a request to stop only sets `stop_requested`: the caller looks at it between windows."""
        self._may_raise = False

    def allow_stop(self) -> None:
        """From now on a request to stop interrupts whatever is running."""
        self._may_raise = True
        if self.stop_requested:
            raise StopRequested

    def handle_stop(self, number: int, frame: FrameType | None) -> None:
        """Take down that the supervisor wants this worker to stop."""
        self.stop_requested = True
        if self._may_raise:
            raise StopRequested

    def _say(self, message: Message) -> None:
        if os.getpid() != self._owner:
            os._exit(1)  # a copy of the worker that a plugin forked and let run on must not speak for it
        if self._lines is None:
            return
        try:
            self._lines.send(message)
            answered = self._lines.receive()
        except OSError:
            answered = None
        if answered is None:
            os._exit(1)  # the supervisor is gone, and with it everybody who wants to know
