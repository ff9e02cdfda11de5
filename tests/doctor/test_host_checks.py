"""What the doctor concludes about packages, memory, load and steps, from values that no test can cause for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genbench.doctor import clocks, devices, drivers, installation, memory_use, steps, storage
from genbench.doctor.finding import Figure
from genbench.doctor.report import CheckReport, Report, as_data, lines, summary
from genbench.measure import machine
from genbench.system.abilities import ABILITIES
from genbench.train.engine import Eager

GIB = 2**30


def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"torch", "msgspec"} <= set(installation._least_versions())
    monkeypatch.setattr(installation, "_least_versions", lambda: {"torch": "99.1"})
    found = installation.versions("cpu")
    assert found.status == "failed"
    assert "is older than 99.1" in found.reason
    assert "pip install --upgrade genbench" in found.remedy


def test_what_there_is_on_this_system_is_shown() -> None:
    found = installation.platform("cpu")
    assert found.status == "passed"
    assert {figure.name: figure.value for figure in found.figures} == {each.name: each.here for each in ABILITIES}


def test_two_copies_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_version", lambda package: "99.1" if package == "torch" else "")
    found = installation.versions("cpu")
    assert found.status == "failed"
    assert "the installed one 99.1" in found.reason
    assert "PYTHONPATH" in found.remedy


@pytest.mark.parametrize(
    ("available", "status"), [(GIB // 2, "failed"), (2 * GIB, "warning"), (20 * GIB, "passed"), (None, "passed")]
)
def test_memory_of_the_host(monkeypatch: pytest.MonkeyPatch, available: int | None, status: str) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: 32 * GIB)
    monkeypatch.setattr(machine, "available_bytes", lambda: available)
    found = memory_use.host("cpu")
    assert found.status == status
    assert ("docker run --memory" in found.remedy) == (status in ("failed", "warning"))


def test_load_of_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 4.0)
    monkeypatch.setattr(machine, "load_average", lambda: 3.0)
    assert clocks.load("cpu").status == "warning"
    monkeypatch.setattr(machine, "load_average", lambda: 0.5)
    assert clocks.load("cpu").status == "passed"


def test_a_step_that_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steps._eager("vae", torch.device("cpu")).status == "passed"
    run = Eager.run

    def run_and_read(self: Eager, engine: Any, due: Any) -> None:
        run(self, engine, due)
        torch.ones(1).item()

    monkeypatch.setattr(Eager, "run", run_and_read)
    found = steps._eager("vae", torch.device("cpu"))
    assert found.status == "failed"
    assert "reads 1 tensors on the host: `.item()` at" in found.reason


def test_a_driver_for_which_torch_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    found = drivers.driver("cuda")
    assert found.status == "failed"
    assert "built without CUDA" in found.reason
    assert "Install a torch built with CUDA" in found.remedy
    assert devices.automatic("auto").status == "passed"
    assert devices.each_device("cuda").status == "failed"
    assert drivers.driver("cpu").status == "not applicable"
    assert devices.each_device("cpu").status == "passed"


def test_reports_do_not_name_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert storage.shown(Path("/home/somebody/.cache/genbench")) == "~/.cache/genbench"
    assert storage.shown(Path("/home/somebody-else")) == "/home/somebody-else"
    monkeypatch.setenv("HOME", "/")
    assert storage.shown(Path("/cache")) == "/cache"


def test_the_table_and_the_json_of_a_report() -> None:
    good = CheckReport(name="clock", question="?", status="passed", seconds=1.0, figures=[Figure("tick", 40.0, "ns")])
    bad = CheckReport(name="cache", question="?", status="failed", seconds=1.0, reason="It is full.", remedy="Free it.")
    odd = CheckReport(name="load", question="?", status="warning", seconds=1.0, reason="Busy.", remedy="Wait.")
    report = Report(genbench="1", device="auto", checked="cpu", checks=[good, bad, odd])
    assert lines(good, 5) == ["  passed          tick 40 ns"]
    assert lines(bad, 5) == ["  failed", "       found:  It is full.", "       remedy: Free it."]
    assert summary(report) == "1 passed, 1 warning, 1 failed"
    assert [*as_data(report)][:2] == ["version", "passed"]
    assert not report.passed
    assert Report(genbench="1", device="auto", checked="cpu", checks=[good, odd]).passed
