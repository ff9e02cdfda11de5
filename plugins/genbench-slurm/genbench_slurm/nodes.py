"""What the nodes of a cluster have, as sinfo says, and whether a job can ever run on one of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from genbench import Resources

from . import Options

SINFO_FORMAT = "%P|%l|%c|%m|%G"  # partition, time limit, CPUs, memory in MiB and generic resources of a kind of node
_FINE_MINUTES = 20  # longer time limits are multiples of five minutes
_GRES = re.compile(r"(?P<name>[^:(]+)(?::(?P<type>[^:(\d][^:(]*|\d+[^:(\d][^:(]*))?(?::(?P<count>\d+))?")


@dataclass(frozen=True)
class Nodes:
    """Nodes of one kind in one partition."""

    partition: str
    default: bool  # it is the cluster's default partition
    minutes: float | None  # the partition's time limit; None: none
    cores: int
    memory: float  # GiB
    gres: str


def read_nodes(text: str) -> list[Nodes]:
    """Return what sinfo says in `SINFO_FORMAT`."""
    found = []
    for line in text.splitlines():
        partition, limit, cores, memory, gres = line.split("|")
        found.append(
            Nodes(
                partition=partition.rstrip("*"),
                default=partition.endswith("*"),
                minutes=read_minutes(limit),
                cores=int(cores.rstrip("+")),
                memory=int(memory.rstrip("+")) / 1024,
                gres=gres,
            )
        )
    return found


def in_partitions(nodes: Sequence[Nodes], names: str) -> list[Nodes]:
    """Return the nodes of these partitions, given with commas; of the default one without any."""
    wanted = set(filter(None, names.split(",")))
    return [found for found in nodes if (found.partition in wanted if wanted else found.default)]


def unknown_partition(nodes: Sequence[Nodes], names: str) -> str:
    """Return the first of these partitions that does not exist, or an empty string."""
    known = {found.partition for found in nodes}
    return next((name for name in filter(None, names.split(",")) if name not in known), "")


def problem(needs: Resources, nodes: Sequence[Nodes], options: Options) -> str:
    """Return why none of these nodes can ever run such a job, or an empty string."""
    memory, gres, longest = memory_of(needs, options), gres_of(needs, options), longest_minutes(nodes)
    fits = longest is None or needs.estimate is None or needs.estimate <= 60 * longest
    minutes = minutes_of(needs, options, longest if fits else None)
    where = ", ".join(sorted({found.partition for found in nodes}))
    most = max(found.cores for found in nodes)
    if needs.cores > most:
        return f"no node in {where} has {needs.cores} CPUs; the most is {most}: use --threads"
    if memory is not None and memory > (largest := max(found.memory for found in nodes)):
        return f"no node in {where} has {memory:g} GiB of memory; the most is {largest:.4g}: use --memory-limit"
    if minutes is not None and longest is not None and minutes > longest:
        return (
            f"jobs in {where} may take {longest:g} minutes, not {minutes}: with --set slurm.minutes={longest:g}, "
            "a job that reaches the limit is followed by one that goes on from its checkpoint"
        )
    if gres and not any(_has(found.gres, gres) for found in nodes):
        has = sorted({found.gres for found in nodes if found.gres != "(null)"})
        return f"no node in {where} has the generic resources {gres}; there are: {'; '.join(has) or 'none'}"
    return ""


def gres_of(needs: Resources, options: Options) -> str:
    """Return the generic resources of a job, as --gres takes them."""
    return options.gres or (f"gpu:{needs.devices}" if needs.devices else "")


def memory_of(needs: Resources, options: Options) -> float | None:
    """Return the memory of a job in GiB; None: what the node or the partition gives."""
    if options.memory:
        return options.memory
    return None if needs.memory is None else needs.memory + 1.0  # and genbench's own processes beside the cell's


def minutes_of(needs: Resources, options: Options, longest: float | None = None) -> int | None:
    """Return the time limit of a job in minutes; None: the partition's.

    It follows from the estimated time of the cell, where there is one, and is then at most `longest`: a job that
    reaches its limit is followed by one that goes on from its checkpoint, and has twice the time.
    """
    if options.minutes:
        return options.minutes
    most = None if needs.seconds is None else math.ceil(needs.seconds / 60)
    if needs.estimate is None or not options.margin:
        return most
    wanted = 2**needs.extensions * (options.margin * needs.estimate / 60 + options.extra_minutes)
    step = 1 if wanted <= _FINE_MINUTES else 5  # jobs of one array have the same limit
    limits = (limit for limit in (most, longest) if limit is not None)
    return max(1, math.floor(min([step * math.ceil(wanted / step), *limits])))


def longest_minutes(nodes: Sequence[Nodes]) -> float | None:
    """Return the longest time limit of the partitions of these nodes; None: there is none."""
    limits = [found.minutes for found in nodes]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def _has(there: str, wanted: str) -> bool:
    """Whether a node has all of these resources, such as 'gpu:a100:2,tape:1'."""
    has = [_gres(text) for text in re.sub(r"\([^)]*\)", "", there).split(",")]
    return all(
        sum(count for name, kind, count in has if (name, kind) == (wants[0], wants[1] or kind)) >= wants[2]
        for wants in map(_gres, wanted.split(","))
    )


def _gres(text: str) -> tuple[str, str, int]:
    """Return name, type and count of 'gpu:a100:2', 'gpu:2' or 'gpu'."""
    found = _GRES.match(text.strip())
    if found is None:
        return text, "", 1
    return found["name"], found["type"] or "", int(found["count"] or 1)


def read_minutes(limit: str) -> float | None:
    """Return '1-00:00:00', '2:00:00', '30:00' in minutes; None: no limit."""
    days, _, clock = limit.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
        hours, minutes, seconds = [0] * (3 - len(parts)) + parts
        return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60
    except ValueError:
        return None
