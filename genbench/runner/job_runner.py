"""The interface of what executes jobs: worker processes, or the command's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from genbench.process.messages import Job, Message
from genbench.results.schema import PlannedCell
from genbench.runner.worker_monitor import WorkerExit


class JobRunner(Protocol):
    """Executes one job at a time. Used as a context manager."""

    in_process: bool  # jobs run in the process of this object, and may use its terminal
    stop_requested: bool
    on_stopping: Callable[[], None] | None  # called once a job was asked to stop and saves its state

    def start(self) -> None:
        """Prepare for the first job."""

    def require_executable(self, cells: Sequence[PlannedCell]) -> None:
        """Raise `UsageError` for cells that cannot be executed in this way."""

    def run(self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None) -> WorkerExit:
        """Execute a job and return how it ended; `timeout` is its time limit in seconds."""

    def request_stop(self) -> None:
        """Ask the running job, and `run`, to stop; safe to call from a signal handler."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End whatever was started."""
