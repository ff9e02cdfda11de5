"""The commands of the section on SLURM in docs/cluster.md, typed as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from page_steps import steps
from slurm_cluster import SlurmCluster

from genbench.results.store import RunDirectory

PAGE = Path(__file__).parents[3] / "docs" / "cluster.md"


@pytest.mark.slow
def test_the_commands_of_the_page_work(cluster: SlurmCluster, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "genbench"
    program.parent.mkdir()
    # With smaller budgets, and more questions to SLURM.
    program.write_text(
        "#!/bin/sh\ncase $* in *--resume*) ;; *) set -- \"$@\" --images 64 --samples 16 --metrics '' ;; esac\n"
        f'exec {sys.executable} -m genbench "$@" --set slurm.poll_seconds=1\n'
    )
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    commands = [step.command for step in steps(PAGE.read_text(encoding="utf-8")) if step.section == "SLURM"]
    assert len(commands) == 5
    for command in commands:
        if not command.startswith("pip "):
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert len(RunDirectory(tmp_path / "results" / "slurm").read_cells().results) == 2
    (beside,) = RunDirectory(tmp_path / "results" / "beside").read_cells().results.values()
    assert beside.comparability is not None and beside.comparability.disturbed == "parallel"
