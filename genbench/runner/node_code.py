"""The code that a job needs, so that a node which has other code says so instead of computing other numbers."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import genbench

DISTRIBUTIONS = ("torch", "numpy", "msgspec", "pluggy", "safetensors")  # whose code decides about results


class Fingerprint(msgspec.Struct, frozen=True):
    """The versions of Python and of distributions, and genbench's own code."""

    python: str  # major and minor version
    genbench: str  # hash of the package's Python files
    distributions: dict[str, str]  # name -> version; empty: not installed


def fingerprint(plugins: Sequence[dict[str, Any]]) -> Fingerprint:
    """Return the fingerprint of this process for a job with these plugins, given as fields of `Plugin`."""
    names = [*DISTRIBUTIONS, *(plugin["distribution"] for plugin in plugins if plugin["origin"] == "entry-point")]
    return fingerprint_of(names)


def fingerprint_of(names: Sequence[str]) -> Fingerprint:
    """Return the fingerprint of this process with the versions of these distributions."""
    major, minor = sys.version_info[:2]
    return Fingerprint(f"{major}.{minor}", _own_code(), {name: _version(name) for name in names})


def differences(driver: Fingerprint, node: Fingerprint) -> list[str]:
    """Return what differs, each as 'torch 2.8.0 instead of 2.9.1'; empty: the node has the driver's code."""
    found = []
    if driver.python != node.python:
        found.append(f"Python {node.python} instead of {driver.python}")
    for name, version in driver.distributions.items():
        there = node.distributions.get(name, "")
        if there != version:
            found.append(f"no {name}, instead of {version}" if not there else f"{name} {there} instead of {version}")
    if driver.genbench != node.genbench:
        found.append("other code of genbench")
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _own_code() -> str:
    root = Path(genbench.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
