"""Further ways to run cells with Ray: a cluster for one run, a job that was submitted to Ray, the conformance kit."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from command_line import GENBENCH, TINY, commands_with, slowness
from genbench_ray.connection import NAMESPACE
from genbench_ray.owner import JobOwner, Order
from ray.exceptions import ActorDiedError
from ray_cluster import RayCluster

from genbench.results.store import RunDirectory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., RayCluster]) -> Iterator[RayCluster]:
    found = start_cluster()
    found.add_node(num_cpus=3)
    ray.init(address=found.address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()


def test_a_submitted_job_is_a_driver(cluster: RayCluster, tmp_path: Path) -> None:
    """As `ray job submit` does behind its HTTP service, which is not part of a minimal installation."""
    from ray._raylet import GcsClient
    from ray.dashboard.modules.job.job_manager import JobManager

    gang = ("--nproc", "2")  # on the same node, in one task
    command = [*GENBENCH, "run", *TINY, *gang, "--models", "vae", "--executor", "ray", "--out", str(tmp_path / "run")]

    async def submit() -> str:
        jobs = JobManager(GcsClient(address=cluster.address), str(tmp_path))
        job = await jobs.submit_job(entrypoint=shlex.join(command))
        while not (status := await jobs.get_job_status(job)).is_terminal():
            await asyncio.sleep(0.5)
        return f"{status} {(await jobs.get_job_info(job)).message}"

    assert asyncio.run(submit()).startswith("SUCCEEDED")
    (cell,) = RunDirectory(tmp_path / "run").read_cells().results.values()
    assert (cell.status, cell.identity.recipe["nproc"]) == ("ok", 2)
    journal = [json.loads(line) for line in (tmp_path / "run" / "jobs" / "journal.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in journal] == ["offered", "submitted", "ended"]


def test_an_owner_whose_driver_has_gone_keeps_results_for_a_while_and_ends(cluster: RayCluster) -> None:
    owner = ray.remote(JobOwner).options(num_cpus=0).remote(3.0)
    command = (sys.executable, "-c", "print('done'); raise SystemExit(3)")
    orders = [Order("a", command, b"", {"CPU": 1.0}, "first"), Order("b", command, b"", {"CPU": 1000.0}, "second")]
    ray.get([owner.submit.remote(orders), owner.submit.remote(orders)])
    while (known := ray.get(owner.states.remote(["a", "b", "c"])))[0].state in ("pending", "running"):
        time.sleep(0.1)
    assert known[0][:2] == ("finished", "status 3, done")
    assert known[1][:2] == ("pending", "no node has 1000 CPU free")
    assert known[2].state == "lost"
    ray.get(owner.cancel.remote(["a", "b", "c"]))
    while (known := ray.get(owner.states.remote(["a", "b"])))[1].state == "pending":
        time.sleep(0.1)
    assert [state.state for state in known] == ["finished", "cancelled"]
    with pytest.raises(ActorDiedError):
        while True:
            ray.get(owner.is_needed.remote())
            time.sleep(0.5)


@pytest.mark.parametrize("results", ["shared", "object-store"])
def test_the_conformance_kit_finds_no_fault(cluster: RayCluster, results: str) -> None:
    settings = ("--set", f"ray.address={cluster.address}", "--set", f"ray.results={results}")
    rules = ("executor-runs", "executor-cancels", "executor-collects") if results == "object-store" else ()
    only = [word for rule in rules for word in ("--only", rule)]
    command = [*GENBENCH, "plugin", "test", "ray", *settings, "--set", "ray.exclusive=false", *only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unavailable" not in done.stdout, done.stdout


def commands_of_the_page() -> list[list[str]]:
    """Return the commands in the section 'Ray' of docs/cluster.md."""
    page = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text(encoding="utf-8")
    section = page.partition("\n## Ray\n")[2].partition("\n## ")[0]
    return [shlex.split(line) for line in section.splitlines() if line.startswith("    ")]


def type_command(command: list[str], where: Path) -> None:
    """Do what a command of the page says, with a smaller budget."""
    smaller = () if "--resume" in command else ("--images", "64", "--samples", "16", "--metrics", "")
    typed = [*GENBENCH, *command[1:], *smaller]
    done = subprocess.run(typed, cwd=where, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, (command, done.stderr)


def test_the_commands_of_genbench_in_the_guide(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    commands = [command for command in commands_of_the_page() if command[0] == "genbench"]
    *there, local = commands
    for command in there:
        type_command(command, tmp_path)
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"ray", "beside", "stored"}
    cluster.wait_until_free()
    assert "ray.address=local" in local


def test_a_cluster_for_one_run_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = [command for command in commands_of_the_page() if "ray.address=local" in command]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        type_command(command, tmp_path)
        assert (tmp_path / "results" / "local" / "table.md").exists()
        deadline = time.monotonic() + 30 * slowness()
        while left := commands_with(os.environ["RAY_TMPDIR"]):
            assert time.monotonic() < deadline, left


def test_the_commands_of_ray_in_the_guide_have_options_that_exist() -> None:
    """They are not run: they listen on all interfaces, and `ray stop` would end all clusters of the machine."""
    from ray.scripts.scripts import cli

    commands = [c[1:] if c[0].startswith("RAY_") else c for c in commands_of_the_page()]
    commands = [command[1:] for command in commands if command[0] == "ray"]
    assert [command[:2] for command in commands] == [
        ["start", "--head"],
        ["start", "--address=HEAD:6379"],
        ["job", "submit"],
    ]
    for name, *arguments in commands[:2]:
        cli.commands[name].make_context(name, arguments)
    job = cli.commands.get("job")  # missing in a minimal installation
    if job is not None and hasattr(job, "commands"):
        job.commands["submit"].make_context("submit", commands[2][2:])
