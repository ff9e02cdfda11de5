"""Checks that end in every way."""

from __future__ import annotations

import os
import signal
import time

from genbench.doctor.finding import Finding, passed

HERE = "doctor_checks"


def sound(device: str) -> Finding:
    return passed()


def raises(device: str) -> Finding:
    raise ValueError("no such thing")


def killed(device: str) -> Finding:
    print("printed before", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return passed()


def leaves(device: str) -> Finding:
    os._exit(3)


def hangs(device: str) -> Finding:
    time.sleep(600)
    return passed()


def forks(device: str) -> Finding:
    """Let a copy of the process go on: only one of them answers."""
    os.fork()
    return passed()
