"""Where torch's compiler caches its code, so that a cell finds what another has compiled."""

from __future__ import annotations

import os

from genbench.results.cache import cache_directory


def keep_compiled_code() -> None:
    """Cache compiled code in ``<cache>/compiled``, unless the user chose another place; call it before torch compiles.

    The compiler's keys decide what can be reused: torch's version, the number of threads, the processor, the graph.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_directory() / "compiled"))
