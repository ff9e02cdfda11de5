"""The built-in executor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from genbench import ExecutorSpec, hookimpl, option


@dataclass(frozen=True)
class LocalOptions:
    """How cells share this machine."""

    parallel: int = option(0, "cells that run at the same time; 0: one for each of `devices`", minimum=0)
    devices: list[str] = option(  # noqa: RUF009 - the default is copied
        [], "devices that run one cell each, as cuda:0,cuda:1; empty: the device of the run"
    )
    timing: Literal["turns", "shared"] = option(
        "turns", "whether cells that share processors or a device train one at a time, or side by side"
    )


@hookimpl
def genbench_executors() -> Iterable[ExecutorSpec]:
    """Yield the executor for this machine."""
    yield ExecutorSpec(
        name="local",
        summary="worker processes on this machine, one cell at a time or several",
        create="genbench.runner.local_executor:LocalExecutor",
        options=LocalOptions,
    )
