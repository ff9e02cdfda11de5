"""The script that submits an array of jobs. submitit writes it; it runs genbench's command, and nothing is pickled.

Task I of the array becomes the I-th command by `exec`, so that the signals of SLURM reach genbench. SLURM keeps the
script itself, so a job needs no file of ours to start.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit

from genbench import Resources

from . import Options
from .nodes import gres_of, memory_of, minutes_of

_WARNED_SECONDS = 60  # before the time limit, or up to a minute earlier: SIGTERM, upon which a job saves its state


def script(
    place: Path,
    name: str,
    needs: Resources,
    options: Options,
    commands: Sequence[Sequence[str]],
    longest: float | None = None,
) -> str:
    """Return the text of a script that submits these commands as an array.

    Args:
        place: folder of the logs; `log_of` names them.
        name: of the jobs.
        needs: of each job.
        longest: time limit of the partitions in minutes; None: there is none.
    """
    executor = submitit.SlurmExecutor(folder=place)
    minutes = minutes_of(needs, options, longest)
    executor.update_parameters(
        job_name=name,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=needs.cores,
        time=minutes,
        partition=options.partition or None,
        gres=gres_of(needs, options) or None,
        exclusive=takes_node(needs, options) or None,
        array_parallelism=len(commands),
        stderr_to_stdout=True,
        use_srun=False,
        wckey=None,
        additional_parameters=_more(place, needs, options, minutes),
    )
    executor.parameters["map_count"] = len(commands)
    cases = [f"{index}) exec {shlex.join(command)} ;;" for index, command in enumerate(commands)]
    text = "\n".join(['case "$SLURM_ARRAY_TASK_ID" in', *cases, "esac"])
    for given in (*executor.parameters.values(), *executor.parameters["additional_parameters"].values()):
        if any(character in str(given) for character in "\n\r"):  # would end the comment that holds an option
            raise ValueError(f"{given!r} contains a line break, which no option of sbatch can")
    return executor._make_submission_file_text(text, uid="")


def log_of(place: Path, id: str) -> Path:
    """Return the log of a job: what it prints beside the log of its cell, which is in the run directory."""
    return place / f"{id}.log"


def takes_node(needs: Resources, options: Options) -> bool:
    """Whether a job has a node to itself: its CPU is what is timed, and devices are never shared."""
    return options.exclusive and not needs.devices


def warned_seconds(minutes: float | None) -> float:
    """Return how long before its time limit, or up to a minute earlier, a job is asked to save its state."""
    return _WARNED_SECONDS if minutes is None else min(_WARNED_SECONDS, int(15 * minutes))


def _more(place: Path, needs: Resources, options: Options, minutes: int | None) -> dict[str, Any]:
    memory = memory_of(needs, options)
    warned = warned_seconds(minutes)
    # B: to the job itself; without it SLURM signals steps alone, and there is none.
    more = {"signal": f"B:TERM@{warned}", "output": f"{str(place).replace('%', '%%')}/%A_%a.log"}
    if memory is not None:
        more["mem"] = f"{math.ceil(memory * 1024)}M"
    elif takes_node(needs, options):
        more["mem"] = "0"  # all of it
    more["no-requeue"] = True  # genbench submits lost jobs again: one policy for all causes
    return more
