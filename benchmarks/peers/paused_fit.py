"""A library's training loop that pauses between two batches, so that windows of steps can be timed inside it.

What the library does once per call of its `fit`, such as checking its arguments, stays outside all windows.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from trainer import Losses


class PausedFit:
    """A call that trains without end in a thread of its own; it does a number of batches on request, then waits."""

    def __init__(self, fit: Callable[[], object]) -> None:
        """Prepare the thread; `fit` must call `batch_begins` before each batch and `batch_ended` after it."""
        self._requests: queue.SimpleQueue[tuple[int, AbstractContextManager[object]]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Losses | BaseException] = queue.SimpleQueue()
        self._left, self._losses = 0, dict[str, list[Any]]()
        self._inside: AbstractContextManager[object] = contextlib.nullcontext()
        self._fit = fit
        self._thread = threading.Thread(target=self._run, daemon=True)

    def train(self, steps: int, inside: AbstractContextManager[object] | None = None) -> Losses:
        """Train this many batches and return their losses; `inside` is entered in the thread meanwhile."""
        if not self._thread.is_alive():
            self._thread.start()
        self._requests.put((steps, inside or contextlib.nullcontext()))
        found = self._answers.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def batch_begins(self) -> None:
        """Wait for a request, unless one is being served."""
        if self._left == 0:
            self._left, self._inside = self._requests.get()
            self._inside.__enter__()

    def batch_ended(self, losses: dict[str, Any]) -> None:
        """Note the losses of a batch, numbers or tensors; answer if it is the last one of the request."""
        for name, loss in losses.items():
            self._losses.setdefault(name, []).append(loss)
        self._left -= 1
        if self._left == 0:
            self._inside.__exit__(None, None, None)
            read = {name: [float(loss) for loss in series] for name, series in self._losses.items()}
            self._losses = {}
            self._answers.put(read)

    def _run(self) -> None:
        try:
            self._fit()
            raise RuntimeError("fit returned")
        except BaseException as error:
            self._answers.put(error)
