"""What `genbench.compare_versions` and `calibrate` share: the steps to time, and the machine that times them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from genbench.ab.wire import Prepare
from genbench.commands.arguments import OptionValues, plain_arguments, request_with_options
from genbench.commands.device import parse_device, resolve_auto
from genbench.measure import machine
from genbench.planning.request import read_config

_FOLDER = "folder:"
_OF_A_RUN = ("out", "profile", "timeout", "memory_limit", "reporters", "target", "metrics")  # they concern no step


def make_question(given: Mapping[str, Any], options: OptionValues, config: str | Path | None) -> Prepare:
    """Return the plan that both arms receive; its paths are absolute, because the arms run in other directories.

    `given` has names and values of flags; None means that one is not given.
    """
    steps = dict(read_config(config) if config else {})
    values = {**given, "set": options} if isinstance(options, Mapping) else given
    steps |= plain_arguments({name: value for name, value in values.items() if name not in ("device", "threads")})
    for name in _OF_A_RUN:
        steps.pop(name, None)
    steps["plugins"] = [str(Path(path).expanduser().resolve()) for path in steps.get("plugins") or ()]
    texts = [] if isinstance(options, Mapping) else [options] if isinstance(options, str) else [*options]
    request = request_with_options(steps, texts)  # reports mistakes once, before both arms start
    steps["datasets"] = [
        f"{_FOLDER}{Path(name.removeprefix(_FOLDER)).expanduser().resolve()}" if name.startswith(_FOLDER) else name
        for name in request.datasets
    ]
    return Prepare(
        given={**steps, "profile": "smoke", "metrics": "none"},
        settings=texts,
        device=resolve_auto(parse_device(str(given.get("device") or "auto"))),
        threads=int(given.get("threads") or machine.default_threads()),
    )


def machine_facts(question: Prepare) -> dict[str, Any]:
    """Return a description of this machine, and of the threads and device that are used."""
    return {
        **machine.describe(),
        "threads": question.threads,
        "device": question.device,
        "load_average": machine.load_average(),
    }


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that everything is cleaned up."""
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
