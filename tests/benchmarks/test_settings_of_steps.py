"""Benchmarks that train execute the step of `genbench run`: with its settings of torch and choice of memory format."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import step_probe
import torch
from other_settings import other_settings

from genbench.plugins.catalogue import Catalogue, discover
from genbench.results.schema import MemoryFormatChoice
from genbench.train.engine import Engine
from genbench.train.engines import memory_format_choice, selection
from genbench.train.torch_setup import denormals_are_flushed, step_settings

FOLDER = Path(__file__).parents[2] / "benchmarks"
CPU = torch.device("cpu")
Seen = list[tuple[bool, str, bool, bool, str]]
IN_A_STEP = (True, "highest", False, True, "chosen")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports a benchmark, in its folder."""

    def imported(name: str) -> ModuleType:
        for folder in (FOLDER, FOLDER / "peers"):
            monkeypatch.syspath_prepend(str(folder))
        for bound in ("engine_equivalence", name):  # they hold functions that an earlier test has replaced
            sys.modules.pop(bound, None)
        return importlib.import_module(name)

    return imported


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Return what is recorded in every step: settings of torch, and whether the memory format was chosen."""
    found: Seen = []
    chosen: set[int] = set()
    run_phases, choose = Engine.run_phases, memory_format_choice.choose_memory_format

    def recorded(engine: Engine, due: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            switches = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
            tf32 = bool(torch.backends.cudnn.allow_tf32)
        found.append((*switches, tf32, denormals_are_flushed(), "chosen" if id(engine) in chosen else "by belief"))
        run_phases(engine, due)

    def choosing(engine: Engine, *rest: Any, **more: Any) -> MemoryFormatChoice:
        chosen.add(id(engine))
        return choose(engine, *rest, **more)

    monkeypatch.setattr(Engine, "run_phases", recorded)
    monkeypatch.setattr(memory_format_choice, "choose_memory_format", choosing)
    monkeypatch.setattr(selection, "choose_memory_format", choosing)
    return found


@pytest.fixture(autouse=True)
def begin_with_other_settings() -> Iterator[None]:
    with other_settings():
        yield


def engine_speed(load: Any, catalogue: Catalogue) -> None:
    module = load("engine_speed")
    given = Namespace(threads=1, precision="fp32", device="cpu", window_seconds=0.001)
    with contextlib.ExitStack() as stack:
        stack.callback(_undo, sys.modules.get("worker_settings"), module)
        module.measure("vae", "8", "eager", "1", given)


def _undo(*modules: Any) -> None:
    """Leave the settings that `keep_step_settings` keeps until the program ends."""
    for module in modules:
        keep = getattr(module, "keep_step_settings", None)
        if keep is not None:
            keep.__globals__["_UNTIL_THE_END"].close()


def engine_equivalence(load: Any, catalogue: Catalogue) -> None:
    with step_settings("fp32"):
        list(load("engine_equivalence").measure("vae", "fp32", [], catalogue, CPU, 8))


def engine_overhead(load: Any, catalogue: Catalogue) -> None:
    given = Namespace(batch_size=8, window_seconds=0.001, blocks=1)
    with step_settings("fp32"):
        load("engine_overhead").compare("vae", "eager", catalogue, CPU, given)


def input_modes(load: Any, catalogue: Catalogue) -> None:
    given = Namespace(device="cpu", blocks=1, window_seconds=0.001)
    with step_settings("fp32"):
        load("input_modes").compare("vae:8", [0], catalogue, given)


def speed_test(load: Any, catalogue: Catalogue) -> None:
    with step_settings("fp32"):
        built, _, _ = load("test_speed").build("vae", catalogue, CPU)
        built.engine.step()


def peers(load: Any, catalogue: Catalogue) -> None:
    module = load("genbench_trainer")
    setting = SimpleNamespace(
        model="vae", batch_size=8, device=CPU, folder=None, precision="fp32", engine="eager",
        recipe={}, step_tuning="off",
    )  # fmt: skip
    trainer = module.GenbenchTrainer(setting)
    trainer.train(2)
    trainer._settings.close()


@pytest.mark.parametrize(
    "benchmark_of", [engine_speed, engine_equivalence, engine_overhead, input_modes, speed_test, peers]
)
def test_every_step_of_a_benchmark_is_that_of_a_run(
    benchmark_of: Callable[[Any, Catalogue], None], load: Any, catalogue: Catalogue, seen: Seen
) -> None:
    benchmark_of(load, catalogue)
    assert seen
    assert [settings for settings in seen if settings != IN_A_STEP] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "program", ["cost_per_cell.py --cells 0 --many 4 --settling 0", "engine_speed.py --cells vae:8 --engines eager"]
)
def test_every_step_of_a_benchmark_in_processes_of_its_own_is_that_of_a_run(program: str, tmp_path: Path) -> None:
    name, *flags = program.split()
    if name == "engine_speed.py":
        flags += ["--blocks", "1", "--window-seconds", "0.001"]
    subprocess.run(
        [sys.executable, str(FOLDER / name), *flags, "--threads", "1"],
        env={**os.environ, **step_probe.environment("settings_of_steps", STEPS_SEEN=str(tmp_path / "seen"))},
        check=True,
        timeout=300,
    )
    assert step_probe.settings_seen(tmp_path / "seen") == [step_probe.settings_of_a_run("fp32")]
