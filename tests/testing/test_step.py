"""`genbench_step`: a plugin author's own benchmark, which `genbench compare` reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from genbench.cli import invoke
from genbench.gate.limits import COUNTERS
from genbench.measure.machine import default_threads
from genbench.process.environment import worker_environment

PLUGIN = Path(__file__).parents[1] / "support" / "gated_plugin.py"
TEST = f"""
def test_step(genbench_step):
    measured = genbench_step("item", plugin={str(PLUGIN)!r}, rounds=3, steps=4, warmup_steps=2, batch_size=8)
    assert measured.images_per_step == 8
    assert measured.counters["host_reads"] == 0
    assert measured.seconds_per_step is None or measured.seconds_per_step > 0
"""


def run_pytest(place: Path, *options: str, test: str = TEST, prefix: str = "pass") -> subprocess.CompletedProcess[str]:
    (place / "test_speed.py").write_text(test)
    code = f"import sys, pytest; {prefix}; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "-p", "genbench.pytest_plugin", "-p", "no:cacheprovider", "--rootdir"]
    kept = {name: value for name, value in os.environ.items() if name not in worker_environment({})}
    environment = {**kept, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, str(place), *options, "test_speed.py"],
        cwd=place, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that pytest-benchmark wrote for the plugin."""
    place = tmp_path_factory.mktemp("author")
    done = run_pytest(place, "--benchmark-json=speed.json")
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "speed.json"


@pytest.mark.slow
def test_the_file_of_pytest_benchmark_contains_windows_counters_and_machine(written: Path) -> None:
    (benchmark,) = json.loads(written.read_text())["benchmarks"]
    assert (benchmark["stats"]["rounds"], benchmark["stats"]["iterations"]) == (3, 4)
    extra = benchmark["extra_info"]
    # Two transposed convolutions, a batch norm of 8 channels, two convolutions, and a layer on 8 times 5 by 5 values.
    assert extra["parameters"] == (8 * 8 * 49 + 8) + 16 + (8 * 16 + 1) + (8 * 16 + 8) + (8 * 8 * 9 + 8) + (200 + 1)
    assert set(COUNTERS) - {"flops_per_sample", "kernel_launches"} <= extra.keys()
    machine = extra["genbench"]["machine"]  # as in `genbench run`: pytest was started with OMP_NUM_THREADS=1 alone
    assert machine["threads"] == str(default_threads())
    for name, value in worker_environment({}).items():
        assert f"{name}={value}" in f"{machine['openmp']} {machine['allocator']}"
    assert extra["genbench"]["settings"]["steps"] == 4


def changed(written: Path, place: Path, name: str, factor: float = 1.0, **extra: Any) -> Path:
    document = json.loads(written.read_text())
    (benchmark,) = document["benchmarks"]
    benchmark["stats"]["median"] *= factor
    benchmark["extra_info"] |= extra
    place.mkdir(exist_ok=True)
    (place / name).write_text(json.dumps(document))
    return place / name


def test_compare_reads_exact_counters_and_needs_several_processes_for_speed(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["compare", str(written), str(written)]) == 3
    assert "one process on a side" in capsys.readouterr().out
    assert invoke(["compare", str(written), str(changed(written, tmp_path, "a.json", host_reads=1.0))]) == 1
    assert "host_reads" in capsys.readouterr().out


@pytest.mark.parametrize(("slower", "code"), [(1.0, 0), (1.5, 1)])
def test_a_folder_of_files_is_compared_as_several_processes(
    slower: float, code: int, written: Path, tmp_path: Path
) -> None:
    for number, noise in enumerate((0.999, 1.0, 1.001, 1.0)):
        changed(written, tmp_path / "base", f"{number}.json", noise)
        changed(written, tmp_path / "head", f"{number}.json", noise * slower)
    assert invoke(["compare", str(tmp_path / "base"), str(tmp_path / "head")]) == code


def test_other_machines_and_settings_are_reported_and_not_compared(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = json.loads(written.read_text())["benchmarks"][0]["extra_info"]["genbench"]
    elsewhere = {**own, "machine": {**own["machine"], "threads": "64"}}
    assert invoke(["compare", str(written), str(changed(written, tmp_path, "a.json", genbench=elsewhere))]) == 4
    assert f"threads is {default_threads()} in base, 64 in head" in capsys.readouterr().out
    longer = {**own, "settings": {**own["settings"], "steps": 9}}
    assert invoke(["compare", str(written), str(changed(written, tmp_path, "a.json", genbench=longer))]) == 4
    assert "steps is 4 in base, 9 in head" in capsys.readouterr().out
    changed(written, tmp_path / "mixed", "a.json")
    changed(written, tmp_path / "mixed", "b.json", genbench=longer)
    assert invoke(["compare", str(written), str(tmp_path / "mixed")]) == 4
    assert "within head: steps is 4 in" in capsys.readouterr().out


def test_the_pytest_plugin_is_installed_with_genbench_and_does_not_import_torch() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"genbench.pytest_plugin": "genbench.pytest_plugin"}
    code = "import sys, genbench.pytest_plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_without_pytest_benchmark_the_error_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import importlib.util as u; f = u.find_spec; "
    hidden += "u.find_spec = lambda name, *rest: None if name == 'pytest_benchmark' else f(name, *rest)"
    done = run_pytest(tmp_path, "-p", "no:benchmark", prefix=hidden)
    assert done.returncode == 1
    assert "pip install pytest-benchmark" in done.stdout


@pytest.mark.slow
def test_anything_but_a_single_cell_is_rejected_and_a_disabled_benchmark_still_counts(tmp_path: Path) -> None:
    test = f"""
import pytest
from genbench import GenbenchError
def test_rejected(genbench_step):
    for wrong in ({{"model": "itm"}}, {{"model": "item,gan"}}, {{"model": "item", "steps": 0}}):
        with pytest.raises(GenbenchError):
            genbench_step(**wrong, plugin={str(PLUGIN)!r})
{TEST}"""
    done = run_pytest(tmp_path, "--benchmark-disable", test=test)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
