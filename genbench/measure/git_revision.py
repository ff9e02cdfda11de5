"""The git commit of the running code, if known: provenance only, without influence on any decision.

Only the hash is recorded, and whether there were uncommitted changes; no paths and no names of people.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import genbench

_TIMEOUT_SECONDS = 10.0


def commits(distributions: Iterable[str] = (), files: Iterable[str | Path] = ()) -> dict[str, dict[str, Any]]:
    """Return ``{"genbench": {"commit": …, "dirty": False}}``, and the same for plugins with a known commit.

    Args:
        distributions: plugin distributions, installed from a checkout or from a repository at a commit (PEP 610).
        files: single-file plugins, named by their file names.
    """
    package = Path(genbench.__file__).resolve().parents[1]
    found = {
        "genbench": _commit_of_checkout(package) if (package / ".git").exists() else _commit_of_distribution("genbench")
    }
    found |= {name: _commit_of_distribution(name) for name in distributions if name != "genbench"}
    found |= {Path(path).name: _commit_of_checkout(Path(path).resolve().parent) for path in files}
    return {name: facts for name, facts in found.items() if facts is not None}


def _commit_of_distribution(name: str) -> dict[str, Any] | None:
    try:
        text = importlib.metadata.distribution(name).read_text("direct_url.json")
        origin = json.loads(text) if text else {}
        installed_from = origin.get("vcs_info", {}).get("commit_id")
        if isinstance(installed_from, str):
            return {"commit": installed_from, "dirty": False}
        url = urlsplit(origin.get("url", ""))
    except (importlib.metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    editable = isinstance(origin.get("dir_info"), Mapping) and origin["dir_info"].get("editable")
    return _commit_of_checkout(Path(unquote(url.path))) if editable and url.scheme == "file" else None


def _commit_of_checkout(directory: Path) -> dict[str, Any] | None:
    commit = _git(directory, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    # Importing a plugin writes compiled code beside it.
    changed = _git(directory, "status", "--porcelain", "--", ".", ":(exclude,glob)**/__pycache__/**")
    return {"commit": commit, "dirty": bool(changed)}


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
