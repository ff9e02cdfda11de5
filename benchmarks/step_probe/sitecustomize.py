"""Lets a module observe every training step of a program and of the processes that it starts, without their help.

Python imports this file when it starts if the folder is on PYTHONPATH. Once `genbench.train.engine` is imported, the
function `observe` of the module that STEP_PROBE names is called with its class `Engine`.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import sys

OBSERVED = "genbench.train.engine"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the observed module like the others do, and adds a call after it was executed."""

    def find_spec(self, name, path, target=None):
        if name != OBSERVED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                importlib.import_module(os.environ["STEP_PROBE"]).observe(module.Engine)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "STEP_PROBE" in os.environ:
    sys.meta_path.insert(0, _Finder())
