"""Which file holds the Inception weights while a command works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genbench.builtin.extractors.inception_weights import VARIABLE
from genbench.errors import UsageError


@contextmanager
def inception_weights(path: str | None) -> Iterator[None]:
    """Make this process, and the workers that it starts meanwhile, load the Inception weights from this file.

    Without a path they are found as usual. Raises `UsageError` if there is no such file.
    """
    if path is None:
        yield
        return
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(
            f"--weights {path} is not a file.", "Give the path of the file with the Inception weights.", code="GB701"
        )
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(file.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
