"""Two executors that follow all rules: jobs that write to their folders, and jobs whose bytes are collected."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import genbench

requires_api = "1.2"

STARTED = """
import os, subprocess, sys
place, *command = sys.argv[1:]
job = subprocess.Popen(command)
with open(place + "/part", "w") as file:
    file.write(str(job.pid))
os.replace(place + "/part", place + "/pid")
status = job.wait()
with open(place + "/part", "w") as file:
    file.write(str(status))
os.replace(place + "/part", place + "/status")
"""
EXECUTE = "import genbench, sys; from pathlib import Path; place = Path(sys.argv[1]); "
EXECUTE += "(place / 'packed').write_bytes(genbench.execute_job((place / 'payload').read_bytes()))"


class Folders:
    """Keeps what it knows about a job in a folder, which is the job's name."""

    capacity = 2
    poll_seconds = 0.1

    def __init__(self, setup, options):
        self.place = setup.run / "jobs" / "engine"

    def command(self, job, place):
        return job.command

    def submit(self, jobs):
        names = []
        for job in jobs:
            place = self.place / job.token
            place.mkdir(parents=True)
            command = [sys.executable, "-c", STARTED, str(place), *self.command(job, place)]
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.Popen(command, start_new_session=True, **quiet)
            names.append(str(place))
        return names

    def poll(self, jobs):
        return [self.state(self.place_of(job)) for job in jobs]

    def place_of(self, job):
        return self.place / Path(job.job).name

    def state(self, place):
        if not place.is_dir():
            return genbench.JobState(state="lost", reason="unknown")
        if not (place / "status").exists():
            return genbench.JobState(state="running")
        status = int((place / "status").read_text())
        return genbench.JobState(state="finished" if status >= 0 else "lost", reason=f"status {status}")

    def cancel(self, jobs):
        for job in jobs:
            with contextlib.suppress(OSError):
                os.kill(self.process(self.place_of(job)), signal.SIGTERM)

    def process(self, place):
        while place.is_dir() and not (place / "pid").exists():  # submitted a moment ago
            time.sleep(0.01)
        return int((place / "pid").read_text())

    def close(self):
        pass


class Collected(Folders):
    """Its jobs write their result where only the engine looks."""

    def command(self, job, place):
        (place / "payload").write_bytes(job.payload)
        return [sys.executable, "-c", EXECUTE, str(place)]

    def collect(self, job):
        packed = self.place_of(job) / "packed"
        return packed.read_bytes() if packed.exists() else None


@genbench.hookimpl
def genbench_executors():
    yield genbench.ExecutorSpec(name="folders", summary="jobs in folders", create=Folders)
    yield genbench.ExecutorSpec(name="collected", summary="jobs whose bytes are collected", create=Collected)
