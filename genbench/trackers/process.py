"""A tracker process: creates one reporter, calls it with each event that arrives, and replies to each.

The first line that arrives is a `TrackerSetup`, each further line a `TrackerEvent`; the reply to each is a
`TrackerReply`. The process exits after the last event, or when the process of the run exits, for whatever reason.
"""

from __future__ import annotations

import difflib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from genbench.api.evaluation import Estimate
from genbench.api.events import (
    EVENTS,
    CellFacts,
    ReporterUnavailable,
    RunFacts,
)
from genbench.api.specs import ReporterSpec, resolve
from genbench.errors import SpecError
from genbench.plugins.calls import PluginFunction, defined_at, describe
from genbench.plugins.loader import Plugin, load_plugin
from genbench.process.lines import Lines
from genbench.results.cell_names import shown_names
from genbench.results.schema import RunRecord
from genbench.results.store import RunDirectory
from genbench.system.processes import end_with_parent, lower_priority
from genbench.trackers.messages import TrackerEvent, TrackerReply, TrackerSetup

_GENBENCH = f"{Path(__file__).parents[1]}{os.sep}"
MISSPELT = 0.85  # a method whose name is this similar to an event's is taken for a misspelling


def main(descriptor: int) -> None:
    """Run as a tracker process, connected by the socket with this descriptor."""
    end_with_parent()
    lower_priority()  # the library's threads give way to the training
    lines = Lines(socket.socket(fileno=descriptor))
    received = _received(lines)
    called = "create"
    try:
        setup = msgspec.json.decode(next(received), type=TrackerSetup)
        run = RunDirectory(setup.run)
        facts = run_facts(run.path, run.record)
        methods = _methods(_create(setup, facts), setup.reporter)
        lines.send(TrackerReply())
        for line in received:
            event = msgspec.json.decode(line, type=TrackerEvent)
            called = event.event
            _call(methods, event, run, facts)
            lines.send(TrackerReply())
    except ReporterUnavailable as error:
        lines.send(TrackerReply(unavailable=str(error)))
    except BaseException as error:  # also SystemExit, which a library may raise
        traceback.print_exc()
        lines.send(TrackerReply(failure=f"{called}: {_describe(error)}"))
    finally:
        sys.stdout.flush()


def _describe(error: BaseException) -> str:
    """Return what a reporter's code raised, and the line."""
    if isinstance(error, SpecError):
        return f"{type(error).__name__}: {error.cause} {error.cure}".strip()
    files = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    own = [place for place in files if not place[0].startswith((_GENBENCH, "<"))]
    place = f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""
    return f"{type(error).__name__}: {error}".rstrip(": ") + place


def run_facts(path: Path, record: RunRecord) -> RunFacts:
    """Return the facts about a run that a reporter gets."""
    names = shown_names(record.cells)
    cells = [
        CellFacts(id=c.id, label=names[c.id], variant=c.variant, identity=msgspec.to_builtins(c.identity))
        for c in record.cells
        if not c.reason
    ]
    return RunFacts(
        path=path,
        name=path.name,
        created=record.created,
        profile=record.profile,
        command=tuple(record.command),
        environment=record.environment,
        cells=tuple(cells),
    )


def _added(run: RunDirectory, id: str) -> CellFacts:
    """Return a cell that a race has added since the reporter was created."""
    return next(cell for cell in run_facts(run.path, RunDirectory(run.path).record).cells if cell.id == id)


def _received(lines: Lines) -> Iterator[bytes]:
    while (complete := lines.receive()) is not None:
        yield from complete


def _create(setup: TrackerSetup, facts: RunFacts) -> object:
    loaded = load_plugin(Plugin(**setup.plugin))
    if loaded.plugin.quarantined:
        raise SpecError(f"its plugin failed to load: {loaded.plugin.reason}\n{loaded.plugin.traceback}", code="GB202")
    spec = next(spec for spec in loaded.specs["reporters"] if spec.name == setup.reporter)
    assert isinstance(spec, ReporterSpec)
    create = PluginFunction(f"reporter '{spec.name}'", "create(run, options)", resolve(spec.create))
    return create(facts, spec.make_options(setup.options))


def _methods(reporter: object, name_of_reporter: str) -> dict[str, Callable[[Any], object]]:
    """Return the methods for events; raise `SpecError` if there is none, or one whose name is misspelt."""
    methods: dict[str, Callable[[Any], object]] = {
        name: PluginFunction(f"reporter '{name_of_reporter}'", f"{name}(event)", getattr(reporter, name))
        for name in EVENTS
        if callable(getattr(reporter, name, None))
    }
    for name in dir(reporter):
        meant = difflib.get_close_matches(name, EVENTS, n=1, cutoff=MISSPELT)
        if meant and name not in EVENTS:
            raise SpecError(f"it has a method {name}, which no event calls. Did you mean '{meant[0]}'?")
    if not methods:
        raise SpecError(
            f"create returned {describe(reporter)}{defined_at(type(reporter))}, which has no method for any event.",
            f"Define one of {', '.join(EVENTS)}; each takes one record.",
        )
    return methods


def _call(
    methods: Mapping[str, Callable[[Any], object]], event: TrackerEvent, run: RunDirectory, facts: RunFacts
) -> None:
    if event.event not in methods:
        return
    fields = dict(event.fields)
    if event.cell:
        fields["cell"] = next((cell for cell in facts.cells if cell.id == event.cell), None) or _added(run, event.cell)
    if event.event == "run_started":
        fields["pending"] = tuple(fields["pending"])
    if event.event == "evaluated":
        fields["estimates"] = tuple(msgspec.convert(fields["estimates"], list[Estimate]))
    if event.event == "cell_finished":
        fields["result"] = result = msgspec.json.decode(run.cell_path(event.cell).read_bytes())
        fields |= {"status": result["status"], "reason": result["reason"]}
        paths = {"samples": run.sample_path(event.cell), "reconstructions": run.reconstruction_path(event.cell)}
        fields["pictures"] = {name: path for name, path in paths.items() if path.is_file()}
    methods[event.event](EVENTS[event.event](**fields))
