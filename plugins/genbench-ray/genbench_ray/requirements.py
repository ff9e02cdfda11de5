"""What a job reserves on a node of Ray, and why no node may have it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import genbench

Amounts: TypeAlias = dict[str, float]  # of resources, by Ray's names: 'CPU', 'GPU', 'memory' in bytes, custom ones
Nodes: TypeAlias = Sequence[Mapping[str, float]]  # what each node has in all


def custom_resources(given: str) -> Amounts:
    """Return custom resources from a text such as 'fast_disk=1 licence=2'; raise `ExecutorUnavailable` for others."""
    found: Amounts = {}
    for text in given.split():
        name, _, amount = text.partition("=")
        try:
            found[name] = float(amount)
        except ValueError:
            found[name] = 0.0
        if not name or name in ("CPU", "GPU", "memory", "object_store_memory") or not 0 < found[name] < math.inf:
            raise genbench.ExecutorUnavailable(
                f"ray.resources: '{text}' is not a custom resource of Ray: use NAME=AMOUNT, such as fast_disk=1."
            )
    return found


def reservation(need: genbench.Resources, custom: Amounts, exclusive: bool, nodes: Nodes) -> Amounts:
    """Return what a job reserves: all on one node, so the processes of a cell start together or wait together.

    Args:
        need: of the cell.
        custom: further resources.
        exclusive: a job without GPUs reserves all processors of a node, of the largest nodes that are suitable.
        nodes: of the cluster.
    """
    amounts: Amounts = {"CPU": float(need.cores), **custom}
    if need.devices:
        amounts["GPU"] = float(need.devices)
    if need.memory is not None:
        amounts["memory"] = float(round(need.memory * 2**30))  # Ray wants whole bytes
    others = {name: amount for name, amount in amounts.items() if name != "CPU"}
    if need.devices:  # no more than their share of the processors, or further GPUs of the node would stay idle
        suitable = [node for node in nodes if not lacking(others, node)]
        shares = [node.get("CPU", 0.0) * need.devices // node["GPU"] for node in suitable]
        amounts["CPU"] = max(1.0, min(amounts["CPU"], max(shares, default=amounts["CPU"])))
    elif exclusive:
        amounts["CPU"] = max([amounts["CPU"], *(n.get("CPU", 0.0) for n in nodes if not lacking(others, n))])
    return amounts


def lacking(amounts: Mapping[str, float], node: Mapping[str, float]) -> list[str]:
    """Return the names of what a node has too little of."""
    return [name for name, amount in amounts.items() if node.get(name, 0.0) < amount]


def why_impossible(amounts: Amounts, nodes: Nodes) -> str:
    """Return why no node can run a job that reserves these amounts; an empty string: one can."""
    missing = [lacking(amounts, node) for node in nodes]
    if not all(missing):
        return ""
    least = min(missing, key=len, default=[*amounts])
    most = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in least}
    wanted = ", ".join(f"{shown(name, amounts[name])} (the most of any: {shown(name, most[name])})" for name in least)
    hint = " Use a smaller --threads." if least == ["CPU"] else ""
    return (
        f"no node of the Ray cluster has {wanted}.{hint} If nodes are added on demand, use --set ray.autoscaling=true."
    )


def described(amounts: Amounts) -> str:
    """Return the amounts for people, as '4 CPU, 1 GPU'."""
    return ", ".join(shown(name, amount) for name, amount in amounts.items())


def shown(name: str, amount: float) -> str:
    """Return an amount with its unit, as '2 GPU' or '7.5 GiB memory'."""
    return f"{amount / 2**30:.3g} GiB {name}" if name == "memory" else f"{amount:g} {name}"
