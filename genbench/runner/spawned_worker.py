"""A worker that no fork server has forked: a process of its own, which imports torch, then executes one job.

A line on standard input asks it to stop; the end of standard input tells that the supervisor has gone.
"""

from __future__ import annotations

import _thread
import os
import signal
import socket
import sys
import threading

import msgspec

from genbench.process.messages import Job
from genbench.system.processes import Tree


def main(descriptor: int) -> None:
    """Import what a worker needs, receive a job on the connection with this descriptor, and execute it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles Ctrl-C
    threading.Thread(target=_follow, args=(os.dup(0),), daemon=True).start()
    connection = socket.socket(fileno=descriptor)
    from genbench.runner.fork_server import preload

    preload()
    job = _receive_job(connection)
    code = 1
    try:
        from genbench.runner.worker import work

        code = work(job, connection)
    finally:
        sys.stderr.flush()
        os._exit(code)  # skips a plugin's threads and exit handlers


def _receive_job(connection: socket.socket) -> Job:
    message = b""
    while not message.endswith(b"\n"):
        more = connection.recv(1 << 20)
        if not more:
            os._exit(0)  # the supervisor needs no further worker
        message += more
    return msgspec.json.decode(message, type=Job)


def _follow(descriptor: int) -> None:
    """Ask this process to stop when a line arrives; end it, with what it has started, when the supervisor has gone."""
    while os.read(descriptor, 1):
        _thread.interrupt_main(signal.SIGTERM)
    Tree(os.getpid()).kill()
    os._exit(1)
