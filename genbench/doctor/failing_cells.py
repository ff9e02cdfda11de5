"""Cells that are killed, run out of memory or fail on the device: each is recorded, and the next one trains."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from genbench.doctor.devices import chosen_gpu
from genbench.doctor.finding import Figure, Finding, failed, passed
from genbench.doctor.fork_safety import in_fork
from genbench.results.schema import CellResult
from genbench.results.store import RunDirectory
from genbench.system.means import uses_linux
from genbench.system.processes import processes_with_variable

VARIABLE = "GENBENCH_DOCTOR_RUN"  # environment variable of a run and of all that it starts
TINY = ("--profile", "smoke", "--images", "64", "--samples", "16", "--metrics", "none", "--reporters", "none")
_LEFT_BYTES = 2**26  # by which the GPU's free memory may differ afterwards
_LEAVING_SECONDS = 5.0
_REPORT = "Report this with the output of `genbench doctor --json`."


def recover(device: str) -> Finding:
    """Run cells with faults, each followed by a good one; fail where a status is wrong, or something is left over."""
    from genbench.doctor import faulty_models

    before = _free_bytes(device)
    expected = {f"doctor-{name}": status for name, (_, status) in faulty_models.FAULTS.items()}
    mark = secrets.token_hex(8)
    arguments = (*TINY, "--plugin", str(faulty_models.__file__), "--models", ",".join(expected), "--device", device)
    with tempfile.TemporaryDirectory() as folder:
        done, output = run_cells(arguments, Path(folder), mark)
        results = read_results(Path(folder))
        notes = {name: _describe(results.get(name)) for name in expected}
    left = _left_over(mark)
    held = before - _free_bytes(device)
    figures = [
        *(Figure(f"cell '{name.removeprefix('doctor-')}'", notes[name].partition(":")[0]) for name in expected),
        Figure("processes left", len(left)),
        *([Figure("GPU memory left", held / 2**20, "MiB")] if before else []),
    ]
    if not results:
        return failed(
            f"The run ended with exit code {done} and no results: {output[-500:].strip()}.", _REPORT, *figures
        )
    wrong = [f"{name} is {notes[name]}" for name, status in expected.items() if notes[name].partition(":")[0] != status]
    if wrong:
        return failed(
            f"{'; '.join(wrong)}.",
            f"After a fault, later cells of a run may be lost on this machine. {_REPORT}",
            *figures,
        )
    if left:
        return failed(
            f"{len(left)} processes of a finished run go on: {', '.join(map(str, left))}.",
            f"End them with kill. {_REPORT}",
            *figures,
        )
    if held > _LEFT_BYTES:
        return failed(
            f"After a run has finished, {held / 2**20:,.0f} MiB of GPU memory are still in use.",
            "nvidia-smi lists the processes that hold it; end them.",
            *figures,
        )
    return passed(*figures)


def run_cells(arguments: Sequence[str], folder: Path, mark: str) -> tuple[int, str]:
    """Run `genbench run` in a process of its own, with results in `folder`; return its exit code and its output."""
    with tempfile.TemporaryFile() as output:
        code = start_cells(arguments, folder, mark, output).wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def start_cells(arguments: Sequence[str], folder: Path, mark: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `genbench run` with this code and this process's module search path."""
    command = ["run", *arguments, "--out", str(folder / "run")]
    code = f"import sys; sys.path[:] = {sys.path!r}; from genbench.cli import main; main({command!r})"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, VARIABLE: mark},
    )


def read_results(folder: Path) -> Mapping[str, CellResult]:
    """Return the results of a run by the name of the model."""
    try:
        found = RunDirectory(folder / "run").read_cells().results.values()
    except Exception:  # no run was created; its output says why
        return {}
    return {cell.identity.model.name: cell for cell in found}


def _describe(result: CellResult | None) -> str:
    if result is None:
        return "missing"
    return f"{result.status}: {result.reason}" if result.reason else result.status


def _left_over(mark: str) -> list[int]:
    """Return the processes of the run that are still there after a moment."""
    deadline = time.monotonic() + _LEAVING_SECONDS
    while left := processes_with_variable(VARIABLE, mark):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return left


def _free_bytes(device: str) -> int:
    """Return the free bytes of a GPU, 0 without one or a fork; asked in a fork, so that this process holds none."""
    if device == "cpu" or not uses_linux():
        return 0
    said = in_fork(lambda: _ask_free_bytes(device))
    return int(said) if said.isdecimal() else 0


def _ask_free_bytes(device: str) -> str:
    import torch

    gpu = chosen_gpu(device)
    memory = getattr(torch.get_device_module(gpu), "mem_get_info", None)
    return str(memory(gpu)[0]) if gpu and memory else "0"
