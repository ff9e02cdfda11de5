"""The interface of what executes jobs: worker processes, or the command's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from genbench.process.messages import Job, Message
from genbench.runner.worker_monitor import WorkerExit


class Executor(Protocol):
    """Executes one job at a time."""

    stop_requested: bool
    on_stopping: Callable[[], None] | None  # called once a job was asked to stop and saves its state

    def run(self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None) -> WorkerExit:
        """Execute a job and return how it ended; `timeout` is its time limit in seconds."""

    def request_stop(self) -> None:
        """Ask the running job, and `run`, to stop; safe to call from a signal handler."""
