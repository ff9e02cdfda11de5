"""Reporters that behave well, and reporters with every kind of fault."""

import dataclasses
import json
import os
import time

import genbench


class Lines:
    """Writes each event as a line of JSON."""

    def __init__(self, run, options):
        self.path = run.path / options.file
        self.write({"event": "create", "run": run.name, "cells": [cell.id for cell in run.cells], "pid": os.getpid()})

    def write(self, record):
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=str) + "\n")

    def run_started(self, event):
        self.write({"event": "run_started", **dataclasses.asdict(event)})

    def cell_started(self, event):
        self.write({"event": "cell_started", **dataclasses.asdict(event), "settings": event.cell.settings})

    def window_finished(self, event):
        self.write({"event": "window_finished", **dataclasses.asdict(event)})

    def evaluated(self, event):
        estimates = [(estimate.metric, estimate.value, estimate.standard_error) for estimate in event.estimates]
        self.write({"event": "evaluated", "step": event.step, "images": event.images, "estimates": estimates})

    def cell_finished(self, event):
        pictures = {name: path.is_file() for name, path in event.pictures.items()}
        about = {"status": event.status, "windows": len(event.result["windows"]), "pictures": pictures}
        self.write({"event": "cell_finished", "id": event.cell.id, **about})

    def run_finished(self, event):
        self.write({"event": "run_finished", **dataclasses.asdict(event)})


class Raises:
    def window_finished(self, event):
        print("about to fail")
        raise RuntimeError("the tracker is out of order")


class Exits:
    def cell_started(self, event):
        os._exit(7)


class Hangs:
    """Hangs in its first event."""

    def run_started(self, event):
        time.sleep(600)


class HangsAtEnd:
    def run_finished(self, event):
        time.sleep(600)


class Slow:
    """Is slow for two windows, but loses none."""

    def __init__(self, run):
        self.path, self.windows = run.path / "slow", 0

    def window_finished(self, event):
        self.windows += 1
        time.sleep(1.2 if self.windows <= 2 else 0)

    def run_finished(self, event):
        self.path.write_text(str(self.windows))


class Misspelt:
    def cell_finised(self, event):
        pass

    def run_finished(self, event):
        pass


class Nothing:
    pass


def missing(run, options):
    raise genbench.ReporterUnavailable("its library is not installed; install it with: pip install tracker")


@dataclasses.dataclass(frozen=True)
class Options:
    file: str = genbench.option("events.jsonl", "where the lines go")


@genbench.hookimpl
def genbench_reporters():
    yield genbench.ReporterSpec(name="lines", summary="lines of JSON", create=Lines, options=Options)
    yield genbench.ReporterSpec(name="missing", create=missing)
    yield genbench.ReporterSpec(name="slow", create=lambda run, options: Slow(run))
    for bad in (Raises, Exits, Hangs, HangsAtEnd, Misspelt, Nothing):
        name = "".join("-" + letter.lower() if letter.isupper() else letter for letter in bad.__name__).lstrip("-")
        yield genbench.ReporterSpec(name=name, create=lambda run, options, bad=bad: bad())
