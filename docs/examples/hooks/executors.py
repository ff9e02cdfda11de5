"""A plugin that registers an executor: each job is a process of its own on this machine, as on a node of a cluster."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import genbench

# What an engine would know: it starts the job, and notes its process and how it ended where anybody can look it up.
START = """
import os, subprocess, sys
place, *command = sys.argv[1:]
with open(place + "/output", "wb") as output:
    job = subprocess.Popen(command, stdout=output, stderr=output)
with open(place + "/part", "w") as file:
    file.write(str(job.pid))
os.replace(place + "/part", place + "/pid")
status = job.wait()
with open(place + "/part", "w") as file:
    file.write(str(status))
os.replace(place + "/part", place + "/status")
"""


@dataclass(frozen=True)
class Options:
    """Options of the executor."""

    jobs: int = genbench.option(2, "jobs at the same time", minimum=1)


class Subprocesses:
    """Starts each job in a process; the engine's name of a job is that of a folder with what is known about it."""

    poll_seconds = 0.5

    def __init__(self, setup, options):
        self.capacity = options.jobs
        self.place = setup.run / "jobs" / "processes"
        self.gone = {}  # job without a process -> when this was seen: its end is noted a moment later

    def submit(self, jobs):
        """Start the jobs."""
        names = []
        for job in jobs:
            place = self.place / job.token
            place.mkdir(parents=True)
            command = [sys.executable, "-c", START, str(place), *job.command]
            subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
            names.append(place.name)
        return names

    def poll(self, jobs):
        """Return the states."""
        return [self.state(job, self.place / job.token) for job in jobs]

    def state(self, job, place):
        """Return what is known about one job."""
        if not place.exists():
            return genbench.JobState(state="lost", reason="this machine does not know the job")
        if not (place / "pid").exists():
            return genbench.JobState(state="pending")
        runs = is_process_of(job, place)
        if not (place / "status").exists():
            if runs or self.gone.setdefault(job.token, time.monotonic()) > time.monotonic() - 5:
                return genbench.JobState(state="running")
            return genbench.JobState(state="lost", reason="its process has gone")
        status = int((place / "status").read_text())
        output = (place / "output").read_text(errors="replace").strip().splitlines()
        reason = f"status {status}" + (f", {output[-1]}" if output else "")
        if status < 0:
            return genbench.JobState(state="lost", reason=f"killed by {signal.Signals(-status).name}")
        return genbench.JobState(state="finished", reason=reason)

    def cancel(self, jobs):
        """Ask the jobs to save their state and stop."""
        for job in jobs:
            place = self.place / job.token
            while place.exists() and not (place / "pid").exists():  # submitted a moment ago
                time.sleep(0.01)
            if place.exists() and is_process_of(job, place):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int((place / "pid").read_text()), signal.SIGTERM)


def is_process_of(job, place):
    """Say whether a job runs: in a run directory from elsewhere, its process may be any."""
    command = ["ps", "-ww", "-o", "args=", "-p", (place / "pid").read_text()]
    return str(job.folder) in subprocess.run(command, capture_output=True, text=True).stdout


@genbench.hookimpl
def genbench_executors():
    """Register the executor."""
    yield genbench.ExecutorSpec(
        name="processes", summary="a process for each cell", create=Subprocesses, options=Options
    )
