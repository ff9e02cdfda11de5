"""Faults of a machine or an installation, planted where genbench cannot know: Python changes modules as it starts.

    environment = changed(tmp_path, torch="torch.cuda.is_available = lambda: True")

gives variables for processes in which this statement is executed directly after torch was imported.
"""

from __future__ import annotations

import os
from pathlib import Path

_SITECUSTOMIZE = """
import importlib.abc
import importlib.util
import sys

CHANGES = {changes!r}


class Changer(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name not in CHANGES:
            return None
        source = CHANGES.pop(name)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_change(module):
            execute(module)
            exec(source, {{name.rpartition(".")[2]: module}})

        spec.loader.exec_module = execute_and_change
        return spec


for imported in sorted(CHANGES.keys() & sys.modules):  # in a fork of a process that has imported torch
    exec(CHANGES.pop(imported), {{imported.rpartition(".")[2]: sys.modules[imported]}})
sys.meta_path.insert(0, Changer())
{now}
"""


def changed(folder: Path, now: str = "", **statements: str) -> dict[str, str]:
    """Return variables for processes that execute `now` at their start and the others after a module's import.

    In the names of modules, two underscores stand for a dot.
    """
    changes = {name.replace("__", "."): source for name, source in statements.items()}
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(changes=changes, now=now), encoding="utf-8")
    return on_path(folder)


def on_path(folder: Path) -> dict[str, str]:
    """Return variables for processes that find modules in this folder first."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}
