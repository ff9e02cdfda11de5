"""Where torch's compiler caches its code, so that a cell finds what another has compiled."""

from __future__ import annotations

import os
import tempfile

from genbench.results.cache import cache_directory, make_private
from genbench.system.opening import temporary_directory

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def keep_compiled_code() -> None:
    """Cache compiled code in ``<cache>/compiled``, unless the user chose another place; call it before torch compiles.

    The compiler's keys decide what can be reused: torch's version, the number of threads, the processor, the graph.
    The compiler loads and runs what it finds there. So where others can write, or nobody can, the code is cached
    below the system's directory for temporary files instead.
    """
    if os.environ.get(_VARIABLE):
        return
    for directory in (cache_directory() / "compiled", temporary_directory("compiled")):
        if make_private(directory):
            os.environ[_VARIABLE] = str(directory)
            return
    os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="genbench-compiled-")
