"""Executing jobs in the command's own process, so that a debugger works in a plugin.

Nothing protects the command from a plugin here: time and memory are not limited, and a crash ends the run. The result
of a cell states that its timings are not valid, and does not compare in speed with results from workers.
"""

from __future__ import annotations

import atexit
import bdb
import contextlib
import faulthandler
import math
import os
import pdb
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from genbench.api.recipe import resolve_recipe
from genbench.errors import UsageError
from genbench.process.environment import adopt_worker_environment
from genbench.process.messages import Job, Message
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import PlannedCell
from genbench.results.store import RunDirectory
from genbench.runner.compile_cache import keep_compiled_code
from genbench.runner.run_executor import marked
from genbench.runner.worker_monitor import WorkerExit

IN_PROCESS = "in-process"  # the value of `Comparability.disturbed`
NOTE = "trained in the command's own process (--in-process): its timings are not valid"


class InProcessRunner:
    """Executes each job in this process. Standard input and output stay those of the terminal.

    Args:
        debugger: whether an exception of a job starts `pdb`; the run goes on afterwards.
    """

    in_process = True

    def __init__(self, debugger: bool = False) -> None:
        self.debugger = debugger
        self.stop_requested = False
        self.on_stopping: Callable[[], None] | None = None  # never called: no state is saved
        self._channel: _DirectChannel | None = None
        self._preloaded = False

    def __enter__(self) -> InProcessRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def start(self) -> None:
        """Choose the settings that a worker would have, before torch is imported, which reads them."""
        adopt_worker_environment()
        keep_compiled_code()
        faulthandler.enable()
        atexit.register(_discard_errors)

    def require_executable(self, cells: Sequence[PlannedCell]) -> None:
        """Raise `UsageError` for cells that several processes train."""
        processes = max(
            (resolve_recipe(cell.identity.recipe).processes for cell in cells if not cell.reason), default=1
        )
        if processes > 1:
            raise UsageError(
                f"--in-process runs a cell in one process, but this plan has cells that {processes} processes train.",
                "Remove --in-process and --pdb, or use --nproc 1 and --nnodes 1.",
                code="GB104",
            )

    def run(self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None) -> WorkerExit:
        """Execute a job in this process; `timeout` does not apply."""
        from genbench.runner.fork_server import preload  # both import torch
        from genbench.runner.worker import execute_job
        from genbench.train.torch_setup import setup_restored

        if not self._preloaded:
            preload()
            self._preloaded = True
        job = msgspec.structs.replace(job, memory_limit=math.inf, checkpoint_seconds=math.inf)
        channel = _DirectChannel(on_message, self.debugger)
        try:
            with _checkpoint_unchanged(job), setup_restored():
                self._channel = channel
                if self.stop_requested:
                    raise StopRequested
                finished = execute_job(job, channel)
        except StopRequested:
            self.stop_requested = True  # also where the user has left the debugger with `quit`
            return WorkerExit(stopped=True)
        finally:
            self._channel = None
        if finished.cell is not None:
            finished = msgspec.structs.replace(finished, cell=marked(finished.cell, IN_PROCESS, NOTE))
        return WorkerExit(finished)

    def request_stop(self) -> None:
        """Ask the running job to stop: between two windows of training, otherwise at once."""
        self.stop_requested = True
        if self._channel is not None:
            self._channel.handle_stop(signal.SIGINT, None)


class _DirectChannel(WorkerChannel):
    """Passes a job's messages to a function, and its exceptions to the debugger."""

    def __init__(self, on_message: Callable[[Message], None], debugger: bool) -> None:
        super().__init__(None)
        self._on_message, self._debugger = on_message, debugger

    def handle_exception(self, error: BaseException) -> None:
        """Print the traceback and start the debugger; an exception by which the user ends the run is raised again."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if isinstance(error, bdb.BdbQuit):
            raise StopRequested
        super().handle_exception(error)
        if self._debugger:
            self.allow_stop()
            pdb.post_mortem(error.__traceback__)

    def _deliver(self, message: Message) -> None:
        may_raise, self._may_raise = self._may_raise, False  # nothing interrupts a display or tracker
        try:
            self._on_message(message)
        finally:
            self._may_raise = may_raise
        if self.stop_requested and may_raise:
            raise StopRequested


def _discard_errors() -> None:
    """Hide what libraries print while the interpreter shuts down; registered first, this is the last exit handler."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@contextlib.contextmanager
def _checkpoint_unchanged(job: Job) -> Iterator[None]:
    """Leave a cell's checkpoint as it was: windows timed here must not become part of a result from a worker."""
    if job.cell is None or not job.run:
        yield
        return
    path = RunDirectory(Path(job.run)).resume_path(job.cell.id)
    original = path.with_name(f".{path.name}.original.tmp")
    original.unlink(missing_ok=True)
    if path.exists():
        try:
            original.hardlink_to(path)
        except OSError:  # this file system has no hard links
            shutil.copyfile(path, original)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        if original.exists():
            original.replace(path)
