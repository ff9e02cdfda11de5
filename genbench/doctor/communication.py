"""Processes that train one cell together: gloo or NCCL work, and no port is open to other machines."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from genbench.doctor.devices import chosen_device
from genbench.doctor.failing_cells import TINY, read_results, start_cells
from genbench.doctor.finding import Figure, Finding, failed, not_applicable, one_line, passed
from genbench.system.means import uses_linux
from genbench.system.processes import descendants
from genbench.system.sockets import Listener, listeners

_LIMIT = timedelta(seconds=30)
_IMAGES = "19200"  # 600 steps: long enough to be looked at
_INTERFACE = "Set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to the loopback interface"


def one_rank(device: str) -> Finding:
    """Exchange a tensor in a process group of one rank, with NCCL on a GPU and else with gloo."""
    import torch
    import torch.distributed as dist

    if not dist.is_available():
        return not_applicable("this torch is built without torch.distributed")
    from torch._C._distributed_c10d import FileStore

    from genbench.measure.capabilities import can, is_accelerator

    target = chosen_device(device)
    on_gpu, backend = is_accelerator(target), can(target).collectives
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = FileStore(str(Path(folder) / "store"), 1)
            dist.init_process_group(
                backend, store=store, rank=0, world_size=1, timeout=_LIMIT, device_id=target if on_gpu else None
            )
            values = torch.ones(8, device="cpu" if backend == "gloo" else target)  # gloo knows the CPU's alone
            dist.all_reduce(values)
            total = float(values.sum())
            found = listeners([os.getpid()])
            dist.destroy_process_group()
    except Exception as error:
        return failed(
            f"{backend} does not work: {one_line(error)}.",
            "--nproc above 1 fails. Check that the interface lo is up (ip link show lo); NCCL also needs /dev/shm.",
            Figure("backend", backend),
        )
    figures = (Figure("backend", backend), Figure("sum of 8 ones", total), *_ports(found))
    if total != 8:
        return failed(f"{backend} adds up 8 ones to {total:g}.", "Do not use --nproc above 1 here.", *figures)
    return _judge(found, figures)


def two_ranks(device: str) -> Finding:
    """Run a cell with --nproc 2 on the CPU; fail where it does not train, or a port is open to other machines."""
    import torch.distributed as dist

    if not uses_linux():
        return not_applicable("several processes for one cell need Linux")
    if not dist.is_available():
        return not_applicable("this torch is built without torch.distributed")
    found: set[Listener] = set()
    mark = secrets.token_hex(8)
    arguments = (*TINY, "--images", _IMAGES, "--models", "vae", "--device", "cpu", "--nproc", "2")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        with start_cells(arguments, Path(folder), mark, output) as process:
            while process.poll() is None:
                found |= listeners(descendants(process.pid))
                time.sleep(0.02)
        result = read_results(Path(folder)).get("vae")
        output.seek(0)
        said = output.read().decode(errors="replace")[-500:].strip()
    figures = (
        Figure("status", "missing" if result is None else result.status),
        *_ports(found),
    )
    if result is None or result.status != "ok":
        return failed(
            f"A cell of two processes did not train: {said if result is None else result.reason}.",
            "Use --nproc 1 until this is repaired. Report this with the output of `genbench doctor --json`.",
            *figures,
        )
    return _judge(found, figures)


def _ports(found: set[Listener]) -> tuple[Figure, Figure]:
    """Return how many ports were open to this machine alone, and to others."""
    here = sum(listener.loopback for listener in found)
    return Figure("ports on loopback", here), Figure("ports open to others", len(found) - here, allowed=0)


def _judge(found: set[Listener], figures: tuple[Figure, ...]) -> Finding:
    strangers = [f"{listener.address}:{listener.port}" for listener in sorted(found) if not listener.loopback]
    if strangers:
        return failed(
            f"Processes of one machine listen on {', '.join(strangers)}, where others can connect.",
            f"{_INTERFACE}, and close these ports in the firewall.",
            *figures,
        )
    return passed(*figures)
