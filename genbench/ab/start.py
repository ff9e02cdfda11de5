"""The first lines of a live worker's process, run as a script: they see to it that only the arm's own code is found.

An editable installation may resolve modules by a finder of its own, which answers too for modules that an older version
in front of the path does not have: half of one version, half of another would run. So such finders forget the packages
that the arm brings. Nothing of genbench is imported here: it would be the wrong one.
"""

import os
import runpy
import sys
from pathlib import Path


def forget(site: Path) -> None:
    """Let the finders of editable installations forget what lies in the arm's own folder."""
    brought = {entry.stem for entry in site.iterdir()} if site.is_dir() else set()
    for finder in sys.meta_path:
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(mapping, dict):
            for name in [name for name in mapping if name.partition(".")[0] in brought]:
                del mapping[name]


if __name__ == "__main__":
    forget(Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]))
    runpy.run_module("genbench.ab.live", run_name="__main__", alter_sys=True)
