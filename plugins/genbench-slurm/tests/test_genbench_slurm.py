"""What is asked of SLURM, and what is made of its answers, without a cluster."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from genbench_slurm import Options
from genbench_slurm.commands import run_command
from genbench_slurm.executor import Slurm
from genbench_slurm.nodes import in_partitions, minutes_of, problem, read_nodes
from genbench_slurm.script import script
from genbench_slurm.states import Known, job_state, read_accounts, read_queue

from genbench import ExecutorSetup, ExecutorUnavailable, JobHandle, JobRequest, Resources

QUEUE = """\
12_0|genbench-a|RUNNING|None|n1|0|0:45|1:00:00|
12_1|genbench-a|PENDING|Resources||0|0:00|1:00:00|
12_2|genbench-a|COMPLETED|None|n1|0|0:45|1:00:00|
12_3|genbench-a|FAILED|NonZeroExitCode|n2|256|0:45|1:00:00|
12_4|genbench-a|FAILED|NonZeroExitCode|n2|36608|0:45|1:00:00|
12_5|genbench-a|FAILED|RaisedSignal:9(Killed)|n2|9|0:45|1:00:00|
12_6|genbench-a|FAILED|RaisedSignal:53(Real-time_signal_19)|n2|53|0:00|1:00:00|
12_7|genbench-a|TIMEOUT|TimeLimit|n2|15|1:00:00|1:00:00|
12_8|genbench-a|NODE_FAIL|None|n2|0|0:45|1:00:00|
12_9|genbench-a|PREEMPTED|None|n2|15|0:45|1:00:00|
12_10|genbench-a|CANCELLED|None|n2|15|0:45|1:00:00|
12_11|genbench-a|COMPLETING|None|n2|0|0:45|1:00:00|
12_12|genbench-a|OUT_OF_MEMORY|OutOfMemory|n2|9|0:45|1:00:00|
12_13|genbench-a|STATE_OF_THE_FUTURE|None|n2|0|0:45|1:00:00|
"""
NODES = """\
all*|infinite|2|8000|(null)
gpu|1-12:00:00|64|512000|gpu:a100:4(S:0-1),tape:2
gpu|1-12:00:00|32|256000|gpu:h100:8(S:0)
short|30:00|2|8000|(null)
"""


def test_every_state_of_a_job_is_told_from_the_others(tmp_path: Path) -> None:
    known = read_queue(QUEUE)
    (tmp_path / "log").write_text("Traceback\nModuleNotFoundError: No module named 'genbench'\n")
    states = [job_state(known[f"12_{index}"], tmp_path / "log") for index in range(14)]
    assert [state.state for state in states] == [
        *("running", "pending", "finished", "finished", "lost", "lost", "finished", "lost", "lost", "lost"),
        *("cancelled", "running", "oom", "running"),
    ]
    assert states[1].reason == "Resources"
    assert states[3].reason == "n2: exit status 1, ModuleNotFoundError: No module named 'genbench'"
    assert states[4].reason == "n2: it was asked to stop after 0:45 (SLURM's time limit: 1:00:00)"
    assert states[5].reason == f"n2: killed by {signal.SIGKILL.name}"
    assert "do the nodes share this directory?" in states[6].reason
    assert states[7].reason == "n2: SLURM's time limit of 1:00:00 ended it"
    assert states[8].reason == "n2: its node failed"
    assert states[9].reason == "n2: it was preempted by another job"
    assert "lack of memory" in states[12].reason


def test_the_accounting_database_is_read_like_the_queue(tmp_path: Path) -> None:
    (known,) = read_accounts("12_3|genbench-a|CANCELLED by 0|None|n1|143:0|00:00:45|01:00:00\n").values()
    assert (known.id, known.state, known.status) == ("12_3", "CANCELLED", 143 << 8)
    assert job_state(known, tmp_path / "none").state == "cancelled"


@pytest.mark.parametrize(
    ("needs", "options", "said"),
    [
        (Resources(cores=64), {"partition": "gpu"}, ""),
        (Resources(cores=65), {"partition": "gpu"}, "no node in gpu has 65 CPUs; the most is 64"),
        (Resources(devices=8, device_type="cuda"), {"partition": "gpu"}, ""),
        (
            Resources(devices=9, device_type="cuda"),
            {"partition": "gpu"},
            "resources gpu:9; there are: gpu:a100:4(S:0-1)",
        ),
        (
            Resources(devices=1, device_type="cuda"),
            {},
            "no node in all has the generic resources gpu:1; there are: none",
        ),
        (Resources(), {"partition": "gpu", "gres": "gpu:a100:4,tape:2"}, ""),
        (Resources(), {"partition": "gpu", "gres": "gpu:a100:5"}, "gpu:a100:5"),
        (Resources(), {"partition": "gpu", "gres": "gpu:v100"}, "gpu:v100"),
        (Resources(memory=8.0), {}, "no node in all has 9 GiB of memory; the most is 7.812"),
        (Resources(seconds=1790.0), {"partition": "short"}, ""),
        (Resources(seconds=1860.0), {"partition": "short"}, "jobs in short may take 30 minutes, not 31: with --set"),
        (Resources(seconds=1860.0), {"partition": "short,all"}, ""),
        (Resources(seconds=1860.0), {"partition": "short", "minutes": 30}, ""),
        (Resources(seconds=129660.0), {"partition": "gpu"}, "may take 2160 minutes, not 2161"),
        (Resources(seconds=43800.0, estimate=1700.0), {"partition": "short"}, ""),  # a job takes all of its 30 minutes
        (Resources(seconds=43800.0, estimate=1900.0), {"partition": "short"}, "may take 30 minutes, not 105: with"),
        (Resources(seconds=43800.0, estimate=60.0), {"partition": "short", "margin": 0.0}, "30 minutes, not 730: with"),
    ],
)
def test_what_no_node_has_is_known(needs: Resources, options: dict[str, object], said: str) -> None:
    chosen = Options(**options)  # type: ignore[arg-type]
    found = problem(needs, in_partitions(read_nodes(NODES), chosen.partition), chosen)
    assert said in found and bool(said) == bool(found)


def test_a_script_asks_for_what_a_job_needs_and_runs_its_command_alone(fake: Path) -> None:
    needs = Resources(cores=4, devices=2, device_type="cuda", memory=3.5, seconds=3601.0)
    commands = [["python", "-m", "genbench.runner.node", "/a b", "t"], ["true"]]
    text = script(fake / "50% done", "genbench-t", needs, Options(partition="gpu"), commands)
    assert "0) exec python -m genbench.runner.node '/a b' t ;;\n1) exec true ;;" in text
    for flag in (
        *("array=0-1%2", "cpus-per-task=4", "gres=gpu:2", "mem=4608M", "nodes=1", "ntasks-per-node=1", "time=61"),
        *("partition=gpu", "signal=B:TERM@60", "job-name=genbench-t", f"output='{fake}/50%% done/%A_%a.log'"),
    ):
        assert f"\n#SBATCH --{flag}\n" in text
    assert "\n#SBATCH --no-requeue\n" in text
    for absent in ("exclusive", "wckey", "srun ", "submitit.core", "pickle", "--error"):
        assert absent not in text


@pytest.mark.parametrize(
    ("needs", "options", "longest", "minutes"),
    [
        (Resources(), Options(), None, None),
        (Resources(seconds=1200.0), Options(), None, 20),  # without an estimate
        (Resources(seconds=36600.0, estimate=600.0), Options(), None, 40),
        (Resources(seconds=36600.0, estimate=600.0, extensions=1), Options(), None, 80),
        (Resources(seconds=36600.0, estimate=600.0, extensions=6), Options(), None, 610),  # at most --timeout
        (Resources(estimate=600.0, extensions=6), Options(), None, 2560),
        (Resources(seconds=36600.0, estimate=600.0, extensions=6), Options(), 120.0, 120),
        (Resources(seconds=36600.0, estimate=600.0), Options(margin=1.5, extra_minutes=1), None, 16),
        (Resources(seconds=36600.0, estimate=600.0), Options(margin=0), None, 610),
        (Resources(seconds=36600.0, estimate=600.0, extensions=3), Options(minutes=7), None, 7),
        (Resources(estimate=0.01), Options(extra_minutes=1), 0.5, 1),
    ],
)
def test_the_time_limit_of_a_job_comes_from_the_estimate_of_its_cell(
    needs: Resources, options: Options, longest: float | None, minutes: int | None
) -> None:
    assert minutes_of(needs, options, longest) == minutes


def test_a_job_that_stops_shortly_before_its_time_limit_has_timed_out(tmp_path: Path) -> None:
    def state(known: Known) -> tuple[str, bool]:
        found = job_state(known, tmp_path / "none")
        return found.state, found.timed_out

    stopped, killed = 143 << 8, 15
    assert state(Known("1_0", "a", "TIMEOUT", used="1:00:10", limit="1:00:00", status=killed)) == ("lost", True)
    assert state(Known("1_0", "a", "FAILED", used="58:20", limit="1:00:00", status=stopped)) == ("lost", True)
    assert state(Known("1_0", "a", "FAILED", used="0:40", limit="2:00", status=stopped)) == ("lost", True)
    assert state(Known("1_0", "a", "FAILED", used="20:00", limit="1:00:00", status=stopped)) == ("lost", False)
    assert state(Known("1_0", "a", "FAILED", used="20:00", limit="UNLIMITED", status=stopped)) == ("lost", False)
    assert state(Known("1_0", "a", "PREEMPTED", used="58:20", limit="1:00:00", status=killed)) == ("lost", False)
    assert state(Known("1_0", "a", "NODE_FAIL", used="59:50", limit="1:00:00")) == ("lost", False)


def test_a_cell_on_the_cpu_has_a_node_to_itself(fake: Path) -> None:
    alone = script(fake, "genbench-t", Resources(), Options(), [["true"]])
    assert "#SBATCH --exclusive\n" in alone and "#SBATCH --mem=0\n" in alone
    assert "--time" not in alone and "--gres" not in alone
    beside = script(fake, "genbench-t", Resources(), Options(exclusive=False), [["true"]])
    assert "--exclusive" not in beside and "--mem" not in beside


def test_a_line_break_in_an_option_cannot_become_a_command(fake: Path) -> None:
    for options in (Options(partition="all\ntouch /tmp/x"), Options(gres="gpu\n:1")):
        with pytest.raises(ValueError, match="line break"):
            script(fake, "genbench-t", Resources(), options, [["true"]])


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands that print what is in a file of their name: `sbatch` takes at most two jobs at a time."""
    place = tmp_path / "commands"
    place.mkdir()
    answers = {
        "sinfo": "all*|infinite|2|8000|(null)",
        "scontrol": "MaxArraySize = 1001",
        **dict.fromkeys(("squeue", "scancel", "srun"), ""),
    }
    for name, answer in answers.items():
        (place / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/calls\ncat <<'E'\n{answer}\nE\n")
    (place / "sbatch").write_text(
        f"""#!/bin/sh
cat > {tmp_path}/script
echo "sbatch $(grep -o 'array=0-[0-9]*' {tmp_path}/script)" >> {tmp_path}/calls
env | grep ^SBATCH_ > {tmp_path}/environment
[ -e {tmp_path}/error ] && cat {tmp_path}/error >&2 && exit 1
if grep -q 'array=0-[01]%' {tmp_path}/script && [ "$(grep -c 'sbatch array=0-[01]$' {tmp_path}/calls)" -le 2 ]; then
  echo 7
else
  echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2
  echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, ...)' >&2
  exit 1
fi
"""
    )
    for path in place.iterdir():
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return tmp_path


def requests(count: int, place: Path) -> list[JobRequest]:
    return [
        JobRequest(
            token=f"{number:016x}", cell="c", label="c", attempt=1, resources=Resources(), folder=place,
            command=("true",), payload=b"",
        )
        for number in range(count)
    ]  # fmt: skip


def test_a_quota_makes_arrays_smaller_and_the_rest_waits(fake: Path) -> None:
    executor = Slurm(ExecutorSetup(run=fake, cells=7), Options())
    names = executor.submit(requests(7, fake))
    run_name = ExecutorSetup(run=fake, cells=7).run_name
    assert names == [f"7_0/genbench-{run_name}-{number:016}" for number in range(2)]
    assert (fake / "calls").read_text().splitlines()[-5:] == [
        *("sbatch array=0-6", "sbatch array=0-2", "sbatch array=0-0", "sbatch array=0-0", "sbatch array=0-0"),
    ]


def test_jobs_with_the_same_time_limit_are_one_array(fake: Path) -> None:
    executor = Slurm(ExecutorSetup(run=fake, cells=4), Options())
    estimates = (2.0, 9.0, 19.0, 600.0)  # 11, 11, 11 and 40 minutes
    jobs = [replace(job, resources=Resources(estimate=s)) for job, s in zip(requests(4, fake), estimates, strict=True)]
    (fake / "commands" / "sbatch").write_text(
        f"#!/bin/sh\nset -- $(grep -o -e 'array=[^%]*' -e 'time=[0-9]*')\necho $* >> {fake}/arrays; echo 7\n"
    )
    executor.submit(jobs)
    assert (fake / "arrays").read_text().splitlines() == ["array=0-2 time=11", "array=0-0 time=40"]


def test_an_error_that_is_no_quota_is_raised(fake: Path) -> None:
    executor = Slurm(ExecutorSetup(run=fake, cells=7), Options())
    (fake / "error").write_text("sbatch: error: Batch job submission failed: Invalid account\n")
    with pytest.raises(Exception, match="Invalid account"):
        executor.submit(requests(2, fake))
    assert executor.check([Resources()])[0].endswith("Batch job submission failed: Invalid account")


def test_a_quota_of_none_takes_nothing(fake: Path) -> None:
    executor = Slurm(ExecutorSetup(run=fake, cells=7), Options())
    (fake / "error").write_text("sbatch: error: Batch job submission failed: QOSMaxSubmitJobPerUserLimit\n")
    assert executor.submit(requests(4, fake)) == []
    assert executor.check([Resources()]) == [""]


def test_variables_of_sbatch_work_except_those_that_jobs_rely_on(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT", "PARTITION", "OUTPUT", "REQUEUE"):
        monkeypatch.setenv(f"SBATCH_{name}", "x")
    run_command("sbatch", text="#SBATCH --array=0-0%1", without=["PARTITION"])
    assert (fake / "environment").read_text() == "SBATCH_ACCOUNT=x\n"


def test_states_of_all_jobs_take_one_call_and_a_job_of_another_run_is_left_alone(fake: Path) -> None:
    setup = ExecutorSetup(run=fake, cells=7)
    executor = Slurm(setup, Options())
    name = f"genbench-{setup.run_name}-a"
    queue = QUEUE.replace("genbench-a", name) + "13_0|genbench-of-another-run|RUNNING|None|n1|0|0:45|1:00:00|\n"
    (fake / "commands" / "squeue").write_text(f"#!/bin/sh\necho squeue >> {fake}/calls\ncat <<'E'\n{queue}E\n")
    (fake / "commands" / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    (fake / "commands" / "sacct").chmod(0o755)
    jobs = [f"12_0/{name}", f"12_1/{name}", f"12_2/{name}-of-before", f"99_0/{name}", "13_0/genbench-of-another-run"]
    handles = [JobHandle(token="0" * 16, job=job, folder=fake) for job in jobs]
    states = executor.poll(handles)
    assert [state.state for state in states] == ["running", "pending", "lost", "lost", "lost"]
    assert states[3].reason == "SLURM does not know it"
    assert (fake / "calls").read_text().count("squeue") == 1
    (fake / "commands" / "scancel").write_text(f'#!/bin/sh\necho "$@" > {fake}/cancelled\n')
    executor.cancel(handles)
    assert (fake / "cancelled").read_text() == "12_0 12_1\n"


def test_what_is_missing_is_said(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = ExecutorSetup(run=fake, cells=1)
    with pytest.raises(ExecutorUnavailable, match="no partition 'al'; there are: all"):
        Slurm(setup, Options(partition="al"))
    (fake / "commands" / "sinfo").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    with pytest.raises(ExecutorUnavailable, match=r"SLURM does not answer .*Unable to contact slurm controller"):
        Slurm(setup, Options())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ExecutorUnavailable, match="command sbatch is not installed here"):
        Slurm(setup, Options())
