"""Executing a job without a shared directory: ``python -m genbench_ray.unshared PAYLOAD RESULT``, two files."""

from __future__ import annotations

import sys
from pathlib import Path

import genbench

if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(genbench.execute_job(Path(sys.argv[1]).read_bytes()))
