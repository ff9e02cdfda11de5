"""The version of the plugin interface that a plugin needs, read before the plugin is imported."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

from genbench.api.hookspecs import API_VERSION
from genbench.errors import SpecError

NAME = "requires_api"


def declared_api(target: str, is_file: bool) -> object:
    """Return what the plugin's module assigns to `requires_api`; None if its source text does not say.

    `target` is a file, or a module with an optional ``:attribute``.
    """
    try:
        if is_file:
            path = Path(target)
        else:
            found = importlib.util.find_spec(target.partition(":")[0])
            if found is None or found.origin is None:
                return None
            path = Path(found.origin)
        if path.suffix != ".py":
            return None
        return _assigned(ast.parse(path.read_bytes()))
    except (ImportError, OSError, SyntaxError, ValueError):  # importing it will give a better error
        return None


def _assigned(module: ast.Module) -> object:
    for statement in module.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        if any(isinstance(target, ast.Name) and target.id == NAME for target in targets):
            value = getattr(statement, "value", None)
            return value.value if isinstance(value, ast.Constant) else None
    return None


def require_api(declared: object, offered: str = API_VERSION) -> None:
    """Raise `SpecError` if a plugin needs another version of the plugin interface than the one offered."""
    if declared is None:
        return
    if not isinstance(declared, str) or not re.fullmatch(r"\d+(\.\d+)?", declared):
        raise SpecError(
            f"{NAME} = {declared!r} is not a version.", f'Write it as text, such as {NAME} = "{offered}".', code="GB207"
        )
    major, minor = _numbers(declared)
    offered_major, offered_minor = _numbers(offered)
    if major < offered_major:
        raise SpecError(
            f"it was written for version {declared} of genbench's plugin interface; this genbench has {offered}.",
            "Install a newer version of the plugin, or an older genbench.",
            code="GB207",
        )
    if (major, minor) > (offered_major, offered_minor):
        raise SpecError(
            f"it needs version {declared} of genbench's plugin interface; this genbench has {offered}.",
            "Install a newer genbench, or an older version of the plugin.",
            code="GB207",
        )


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)
