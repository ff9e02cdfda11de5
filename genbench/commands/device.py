"""Choosing the device of a command, and whether this machine has what a plan needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genbench.api.restriction import DEVICE_TYPES
from genbench.errors import UsageError, near_miss
from genbench.measure import machine
from genbench.planning.process_counts import largest_process_count, require_process_count, require_rendezvous
from genbench.planning.request import Request
from genbench.results.schema import PlannedCell, Rendezvous
from genbench.runner.job_runner import JobRunner
from genbench.runner.supervisor import ask_devices

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", *DEVICE_TYPES)


def parse_device(text: str) -> str:
    """Return a valid torch device name, or raise `UsageError` with the closest valid name."""
    if text in DEVICES or re.fullmatch(r"(cuda|xpu):\d+|mps:0", text):
        return text
    raise UsageError(
        f"Unknown device '{text}'.{near_miss(text, DEVICES)}",
        f"Devices: {', '.join(DEVICES)}; cuda:1 is the second GPU.",
        code="GB101",
    )


def resolve_auto(device: str) -> str:
    """Replace 'auto' by 'cuda' if an NVIDIA driver is loaded, else by 'cpu'."""
    if device != "auto":
        return device
    return "cuda" if machine.has_nvidia_driver() else "cpu"


def require_device(pool: JobRunner, cells: Sequence[PlannedCell], device: str, chosen: bool) -> dict[str, object]:
    """Return what torch reports about its devices; raise `UsageError` if one that the cells need is missing."""
    count = largest_process_count(cells)
    facts = ask_devices(pool, device, count)
    hint = "" if chosen else "--device auto chose it because an NVIDIA driver is loaded. "
    _require_present(device, facts, hint, count)
    return facts


def _require_present(device: str, facts: Mapping[str, Any], hint: str = "", count: int = 1) -> None:
    if device == "cpu":
        return
    kind, _, number = device.partition(":")
    first, present = int(number or 0), len(facts[kind])
    if first >= present:
        why = facts[f"{kind}_reason"] or f"number of {kind.upper()} devices: {present}"
        raise UsageError(f"No device '{device}': {why}.", f"{hint}Use --device cpu.", code="GB401")
    unusable: Mapping[str, str] = facts.get(f"{kind}_unusable", {})
    for index in range(first, first + count):
        if str(index) in unusable:
            others = [f"{kind}:{other}" for other in range(present) if str(other) not in unusable]
            remedy = f"Use another, such as --device {others[0]}, or --device cpu." if others else "Use --device cpu."
            raise UsageError(
                f"The device '{kind}:{index}' cannot be used: {unusable[str(index)]}.", f"{hint}{remedy}", code="GB401"
            )


def require_processes(
    cells: Sequence[PlannedCell], device: str, facts: dict[str, object], rendezvous: Rendezvous | None
) -> None:
    """Raise `UsageError` if a cell needs more processes than there are devices, or a rendezvous that is missing."""
    require_rendezvous(cells, rendezvous)
    if device == "cpu":
        require_process_count(cells, machine.default_threads(), "processors")
    else:
        kind, _, number = device.partition(":")
        found = facts[kind]
        places = len(found) - int(number or 0) if isinstance(found, list) else 0
        require_process_count(cells, places, f"{kind.upper()} devices")


def make_rendezvous(request: Request) -> Rendezvous | None:
    """Return the rendezvous of the processes on several machines, or None if no endpoint is given."""
    if request.rdzv_endpoint is None:
        return None
    return Rendezvous(endpoint=request.rdzv_endpoint, id=request.rdzv_id)


def select_present_device(text: str) -> torch.device:
    """Return the requested device for work in this process; raise `UsageError` if it is missing."""
    from genbench.measure import accelerator

    name = resolve_auto(parse_device(text))
    _require_present(name, accelerator.devices(name))
    return accelerator.select_device(name)
