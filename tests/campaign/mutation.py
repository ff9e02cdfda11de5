"""Damaging files: bytes of any file, and fields of JSON documents."""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

HOSTILE = "\x1b[2J\x9b\u202e evil\n::error::owned\n=cmd()|<script>`$(x)`"
VALUES: list[Any] = [
    *(None, True, 0, -1, 1, 2**63, -(2**63), 10**400, 0.5, 1e308, -1e308, 5e-324),
    *("", "x", "é" * 300, "a" * 70_000, HOSTILE, "../../../etc/passwd", "/etc/passwd", "\ud800", "nan", "2026-01-01"),
    *([], {}, [[]], [None] * 50, {"a": {"b": {"c": 1}}}, {"": ""}, [1e400], float("nan"), float("inf")),
]


GONE = ("delete", "directory", "pipe", "link")  # the file is replaced by something else, or nothing


def damage_bytes(path: Path, rng: random.Random) -> str:
    """Damage a file; return how."""
    data = bytearray(path.read_bytes())
    how = rng.choice(
        ["cut", "empty", "flip", "insert", "repeat", "zeros", "bom", "delete", "directory", "pipe", "link"]
    )
    position = rng.randrange(len(data) + 1)
    if how == "cut":
        data = data[:position]
    elif how == "empty":
        data = bytearray()
    elif how == "flip" and data:
        for _ in range(rng.choice([1, 1, 8, 100])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "insert":
        data[position:position] = rng.randbytes(rng.choice([1, 10, 1000]))
    elif how == "repeat":
        data = data * 2
    elif how == "zeros":
        data = bytearray(len(data))
    elif how == "bom":
        data = bytearray(b"\xef\xbb\xbf") + data
    if how in GONE:
        path.unlink()
        if how == "directory":
            path.mkdir()
        elif how == "pipe":
            os.mkfifo(path)
        elif how == "link":
            path.symlink_to(path)
    else:
        path.write_bytes(data)
    return how


def damage_json(path: Path, rng: random.Random) -> str:
    """Delete, exchange or add fields of a JSON document; return what was done."""
    document = json.loads(path.read_text(encoding="utf-8"))
    said = []
    for _ in range(rng.choice([1, 1, 1, 3])):
        places = list(_places(document))
        if not places:
            break
        parent, key = rng.choice(places)
        how = rng.choice(["delete", "value", "value", "value", "swap", "add"])
        if how == "delete":
            del parent[key]
        elif how == "value":
            parent[key] = copy.deepcopy(rng.choice(VALUES))
        elif how == "swap":
            other, other_key = rng.choice(places)
            parent[key] = copy.deepcopy(other[other_key])
        elif isinstance(parent, dict):
            parent[rng.choice(["extra", HOSTILE, "", "é"])] = copy.deepcopy(rng.choice(VALUES))
        said.append(f"{how} {key!r}")
    path.write_text(json.dumps(document), encoding="utf-8", errors="surrogatepass")
    return ", ".join(said)


def _places(value: Any) -> Any:
    """Yield every container and key (or index) of a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
