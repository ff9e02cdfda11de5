"""A known load: processes that keep the processors busy, half with matrix products, half with memory traffic.

    python benchmarks/gate/busy_processes.py 2

Each has one thread and the usual priority. They end with the process that started them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from genbench.system.prctl import PR_SET_PDEATHSIG, prctl

MATRIX = 256  # rows and columns of the products: 0.75 MiB of three matrices of single precision
COPIED_BYTES = 64 << 20  # far more than a processor's caches
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


def work(number: int) -> None:
    """Keep one processor busy until this process is killed."""
    import numpy as np

    rng = np.random.default_rng(number)
    if number % 2 == 0:
        matrix = rng.standard_normal((MATRIX, MATRIX), dtype=np.float32)
        product = np.empty_like(matrix)
        while True:
            np.matmul(matrix, matrix, out=product)
    source = rng.integers(0, 255, COPIED_BYTES, dtype=np.uint8)
    target = np.empty_like(source)
    while True:
        np.copyto(target, source)


class BusyProcesses:
    """Processes of which some work, and the others are stopped."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._processes = processes

    def let_work(self, number: int) -> None:
        """Let this many work."""
        for n, process in enumerate(self._processes):
            process.send_signal(signal.SIGCONT if n < number else signal.SIGSTOP)


@contextlib.contextmanager
def busy_processes(most: int) -> Iterator[BusyProcesses]:
    """Start this many processes, all stopped, and kill them at the end."""
    command = [sys.executable, __file__, "--worker"]
    environment = {**os.environ, **ONE_THREAD}
    started = [subprocess.Popen([*command, str(number)], env=environment) for number in range(most)]
    found = BusyProcesses(started)
    try:
        found.let_work(0)
        yield found
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    """Keep the processors busy until Ctrl-C."""
    if sys.argv[1] == "--worker":
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work(int(sys.argv[2]))
    number = int(sys.argv[1])
    with busy_processes(number) as processes, contextlib.suppress(KeyboardInterrupt):
        processes.let_work(number)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
