"""Reporters: which events they get and when, and that none of them can harm a run."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import WITH_FAULTS, Going, alive, run, start, wait_until, wait_until_gone

from genbench.planning.planner import make_plan
from genbench.planning.reporters import choose_reporters
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.results.schema import CellResult, RunRecord
from genbench.results.store import RunDirectory
from genbench.trackers import dispatch

REPORTERS = ("--plugin", str(Path(__file__).parents[1] / "support" / "recording_reporters.py"), "--reporters")
STEPS = 300
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}


def events(run_path: Path, name: str = "events.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_path / name).read_text(encoding="utf-8").splitlines()]


def names(sent: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in sent]


def expected_events(cell: CellResult) -> list[str]:
    """The expected events of a cell, from its result: windows and evaluations in the order of their steps."""
    moments: list[tuple[float, str]] = [(window.step, "window_finished") for window in cell.windows]
    moments += [(evaluation.step + 0.5, "evaluated") for evaluation in cell.evaluations]
    return ["cell_started", *(name for _, name in sorted(moments)), "cell_finished"]


@pytest.mark.slow
def test_events_arrive_in_order_and_hold_what_the_results_hold(tmp_path: Path) -> None:
    metrics = ("--metrics", "diversity", "--evaluate-every", "128", "--images", "192")
    done = run(*WITH_FAULTS, *metrics, "--models", "sound", "--seeds", "0,1", *REPORTERS, "lines", out=tmp_path / "run")
    assert done.code == 0, done.err
    sent = events(done.run)
    cells = {cell.id: cell for cell in done.run_cells}
    first, second = (cells[cell.id] for cell in done.record.cells)
    assert names(sent) == ["create", "run_started", *expected_events(first), *expected_events(second), "run_finished"]
    assert sent[0]["cells"] == sent[1]["pending"] == [cell.id for cell in done.record.cells]
    begun = sent[2]
    assert (begun["index"], begun["total"], begun["steps"]) == (1, 2, 6)
    assert begun["settings"]["batch_size"] == 32
    assert begun["settings"]["model"] == "sound"
    assert begun["cell"]["id"] == first.id
    of_first = sent[2 : 2 + len(expected_events(first))]
    windows = [event for event in of_first if event["event"] == "window_finished"]
    for event, window, point in zip(windows, first.windows, first.curves, strict=True):
        assert (event["step"], event["images"], event["terms"]) == (point.step, point.images, point.terms)
        assert event["images_per_second"] == pytest.approx(window.images / window.seconds)
        assert event["warmup"] == window.warmup
    measured = [event for event in of_first if event["event"] == "evaluated"]
    for event, evaluation in zip(measured, first.evaluations, strict=True):
        assert event["images"] == evaluation.images
        expected = [[e.metric, e.value, e.standard_error] for e in evaluation.estimates]
        assert event["estimates"] == expected
    ended = of_first[-1]
    assert (ended["id"], ended["status"], ended["windows"]) == (first.id, "ok", len(first.windows))
    assert ended["pictures"] == {"samples": True, "reconstructions": True}
    assert sent[-1] == {"event": "run_finished", "interrupted": False}
    assert not alive(sent[0]["pid"])


@pytest.mark.slow
def test_a_bad_reporter_causes_a_warning_and_no_other_harm(tmp_path: Path) -> None:
    bad = "raises,exits,hangs,hangs-at-end,misspelt,nothing"
    reporters = (*REPORTERS, f"lines,{bad}", "--quiet", "--json")
    done = run(*WITH_FAULTS, "--models", "sound", *reporters, out=tmp_path / "run", GENBENCH_REPORTER_TIMEOUT="6")
    assert done.code == 0, done.err
    assert json.loads(done.out)
    assert names(events(done.run))[-2:] == ["cell_finished", "run_finished"]
    warnings = done.err.splitlines()
    assert all(line.startswith("Warning: the reporter '") for line in warnings)
    said = {name: [line for line in warnings if f"'{name}'" in line] for name in bad.split(",")}
    assert "failed in window_finished: RuntimeError: the tracker is out of order" in said["raises"][0]
    assert "exited with status 7" in said["exits"][0]
    assert "takes longer than 6 s" in said["hangs"][0]
    assert "still busy at the end" in said["hangs"][1]
    assert "still busy at the end" in said["hangs-at-end"][0]
    assert "Did you mean 'cell_finished'?" in said["misspelt"][0]
    assert "has no method for any event" in said["nothing"][0]
    log = (done.run / "logs" / "reporter-raises.log").read_text()
    assert "about to fail" in log
    assert "Traceback" in log


@pytest.mark.slow
def test_a_run_does_not_wait_for_a_slow_reporter_which_loses_no_event(tmp_path: Path) -> None:
    began = time.monotonic()
    long = ("--images", str(32 * 40))
    done = run(*WITH_FAULTS, *long, "--models", "sound", *REPORTERS, "slow", out=tmp_path / "run")
    assert time.monotonic() - began < 60
    assert done.code == 0
    assert done.err.count("takes longer than 1 s") == 1
    assert (done.run / "slow").read_text() == str(len(done.run_cells[0].windows))


@pytest.mark.slow
def test_a_missing_library_is_reported_before_training_and_the_run_can_go_on_without_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(*WITH_FAULTS, "--models", "sound", *REPORTERS, "lines,missing", out=out)
    assert done.code == 2
    assert "The reporter 'missing' cannot be used: its library is not installed; install it with: pip" in done.err
    assert f"genbench run --resume {out} --reporters lines" in done.err
    assert done.run_cells == []
    wait_until_gone([events(out)[0]["pid"]])
    done = run("--reporters", "lines", out=out, resume=True)
    assert done.code == 0, done.err
    assert names(events(out))[-2:] == ["cell_finished", "run_finished"]


def test_names_and_options_are_checked_first(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(*WITH_FAULTS, "--models", "sound", *REPORTERS, "line", out=out)
    assert (done.code, out.exists()) == (2, False)
    assert "Unknown reporter 'line'. Did you mean 'lines'?" in done.err
    done = run(*WITH_FAULTS, "--models", "sound", *REPORTERS, "lines", "--set", "lines.fil=x", out=out)
    assert (done.code, out.exists()) == (2, False)
    assert "Unknown option lines.fil. Did you mean 'file'?" in done.err


def test_sending_events_never_blocks_and_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_REPORTER_TIMEOUT", "3")
    monkeypatch.setattr(dispatch, "MOST_QUEUED", 500)
    plugin = REPORTERS[1]
    catalogue = discover([plugin])
    plan = make_plan(make_request({"models": "gan", "reporters": "hangs"}), catalogue, "cpu")
    record = RunRecord(created="", genbench="", profile="smoke", cells=plan.cells)
    chosen = [(choice, catalogue.reporters["hangs"].plugin) for choice in choose_reporters(["hangs"], {}, catalogue)]
    warnings: list[str] = []
    with dispatch.Trackers(warnings.append) as trackers:
        trackers.start(RunDirectory.create(tmp_path / "run", record), chosen)
        trackers.send_event("run_started", pending=[])
        window = {"images": 1, "images_per_second": 1.0, "terms": {"loss": 1.0}, "warmup": False}
        began = time.monotonic()
        for step in range(5000):
            trackers.send_event("window_finished", plan.cells[0].id, step=step, **window)
        assert time.monotonic() - began < 2  # 0.2 s on a quiet machine
        began = time.monotonic()
        trackers.end(interrupted=False)
        assert time.monotonic() - began < 10
    said = ["takes longer than 3 s", "too far behind: windows are dropped", "still busy at the end"]
    assert [text in warning for text, warning in zip(said, warnings, strict=True)] == [True] * 3


def reporter_of(going: Going, name: str = "events.jsonl") -> int:
    path = going.run / name
    wait_until(lambda: path.exists() and path.read_text().count("window_finished") > 2, going.process)
    return int(events(going.run, name)[0]["pid"])


@pytest.mark.slow
def test_an_interrupted_run_ends_its_reporters_and_the_resumed_run_sends_the_rest(tmp_path: Path) -> None:
    long = (*WITH_FAULTS, "--images", str(32 * STEPS), "--models", "sound,slow")
    options = ("--set", "lines.file=sent.jsonl")
    going = start(*long, *REPORTERS, "lines", *options, out=tmp_path / "run", **SLOW)
    going.mark("training")
    os.kill(going.process.pid, signal.SIGINT)
    done = going.end()
    assert done.code == 130
    first = events(done.run, "sent.jsonl")
    assert first[-1] == {"event": "run_finished", "interrupted": True}
    assert names(first).count("cell_finished") == 1
    done = run(out=done.run, resume=True)
    assert done.code == 0, done.err
    second = events(done.run, "sent.jsonl")[len(first) :]
    assert second[1]["pending"] == [done.cells["slow"].id]  # what is finished is not sent again
    assert names(second).count("cell_started") == names(second).count("cell_finished") == 1
    windows = [event for event in second if event["event"] == "window_finished"]
    assert windows[0]["step"] > 60  # it resumes where it stopped


@pytest.mark.slow
def test_no_reporter_outlives_a_killed_run(tmp_path: Path) -> None:
    long = (*WITH_FAULTS, "--images", str(32 * STEPS), "--models", "slow")
    going = start(*long, *REPORTERS, "lines,hangs", out=tmp_path / "run", **SLOW)
    pid = reporter_of(going)
    going.process.kill()
    going.end()
    wait_until_gone([pid])
