"""Importing genbench, help, listing and planning never import torch or numpy."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from plugin_packages import environment, temp_plugin

HEAVY = ("torch", "torchvision", "numpy", "PIL", "scipy", "pandas", "matplotlib")

# VmHWM is this program's own peak; getrusage would inherit the peak of the process that started it.
AFTERWARDS = """
import json, pathlib, sys
heavy = sorted(name for name in {heavy!r} if name in sys.modules)
status = pathlib.Path("/proc/self/status")
peak = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else [0]
print(json.dumps({{"heavy": heavy, "mib": int(peak[0]) / 1024}}), file=sys.stderr)
"""


def facts_after(program: str, env: dict[str, str] | None = None) -> dict[str, object]:
    """Run a program in a fresh interpreter; return which heavy modules it imported and its peak memory."""
    text = program + AFTERWARDS.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    facts: dict[str, object] = json.loads(done.stderr.splitlines()[-1])
    return facts


def invoke_command(*arguments: str) -> str:
    return f"from genbench.cli import invoke\nassert invoke({list(arguments)!r}) == 0\n"


@pytest.mark.parametrize(
    "program",
    [
        "import genbench\n",
        invoke_command("--help"),
        invoke_command("--version"),
        invoke_command("run", "--help"),
        invoke_command("list"),
        invoke_command("list", "--json"),
        invoke_command("plugin", "list"),
        invoke_command("figure", "--help"),
        "import genbench.commands.results, genbench.report.figures.kinds\n",
        invoke_command("doctor", "--help"),
        invoke_command("doctor", "--only", "clock"),
        "import genbench.builtin.models, genbench.builtin.losses, genbench.builtin.datasets\n"
        "import genbench.builtin.families, genbench.builtin.extractors, genbench.builtin.metrics\n",
    ],
    ids=[
        "import",
        "help",
        "version",
        "run-help",
        "list",
        "list-json",
        "plugin-list",
        "figure-help",
        "figures",
        "doctor-help",
        "doctor",
        "built-in",
    ],
)
def test_nothing_heavy_is_imported(program: str) -> None:
    assert facts_after(program)["heavy"] == []


def test_planning_with_a_plugin_that_imports_torch_stays_light(tmp_path: Path) -> None:
    source = """
        import torch
        import genbench

        @genbench.hookimpl
        def genbench_models():
            yield genbench.ModelSpec(
                name="heavy", family="adversarial", build=torch.nn.Linear, default_loss="minimax"
            )
    """
    temp_plugin(tmp_path, source, name="acme-heavy")
    program = """
from genbench.plugins.catalogue import discover
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
plan = make_plan(make_request({"models": ["heavy", "gan"]}), discover(), "cpu")
assert len(plan.possible) == 2
"""
    facts = facts_after(program, environment(tmp_path))
    assert facts["heavy"] == []
    assert facts["mib"] < 150  # type: ignore[operator]


def test_help_is_fast() -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "genbench", "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    assert min(times) < 2.0  # 0.25 s on a quiet machine; importing torch alone takes longer than this
