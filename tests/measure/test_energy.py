"""Energy from RAPL's files: units, wrap-around, and the reason if there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from genbench.measure.energy import EnergyMeter, EnergyUnavailable, open_meter

CPU = torch.device("cpu")


def zone(powercap: Path, name: str, microjoules: int, wraps_at: int = 262_143_328_850) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return folder


def test_packages_are_added_and_their_subzones_ignored(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 1_000_000), zone(tmp_path, "intel-rapl:1", 5_000_000)
    part = zone(tmp_path, "intel-rapl:0:0", 500_000)
    meter = open_meter(CPU, tmp_path)
    assert "2 processor packages" in meter.source
    meter.start()
    (first / "energy_uj").write_text("3500000")
    (second / "energy_uj").write_text("5250000")
    (part / "energy_uj").write_text("9900000")
    joules, seconds = meter.stop()
    assert joules == pytest.approx(2.75)
    assert seconds > 0


def test_a_counter_may_wrap_around(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", 9_000_000, wraps_at=10_000_000)
    meter = open_meter(CPU, tmp_path)
    meter.start()
    (folder / "energy_uj").write_text("500000")
    assert meter.stop()[0] == pytest.approx(1.5)


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    with pytest.raises(EnergyUnavailable, match="no RAPL energy counters"):
        open_meter(CPU, tmp_path)
    with pytest.raises(EnergyUnavailable, match="no RAPL energy counters"):
        open_meter(CPU, tmp_path / "missing")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_counters_name_the_remedy(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").chmod(0)
    with pytest.raises(EnergyUnavailable, match="no permission to read"):
        open_meter(CPU, tmp_path)


def test_a_damaged_counter_says_so(tmp_path: Path) -> None:
    (zone(tmp_path, "intel-rapl:0", 1) / "energy_uj").write_text("much")
    with pytest.raises(EnergyUnavailable, match="cannot be read"):
        open_meter(CPU, tmp_path)


def test_joules_are_differences_of_the_counter() -> None:
    readings = iter([{"gpu": 100.0}, {"gpu": 130.5}])
    meter = EnergyMeter(lambda: next(readings), "a counter")
    meter.start()
    assert meter.stop()[0] == pytest.approx(30.5)
