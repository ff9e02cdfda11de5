"""The environment of workers: freed memory stays with them, and denormal numbers cost no time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from genbench.process import environment
from genbench.process.environment import worker_environment

FAULTS = """
import resource
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        block = bytearray(16 << 20)
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""

ADOPTED = FAULTS.replace("16 << 20", "64 << 20")  # which glibc, left alone, always returns to the kernel
ADOPTED = f"""
import os, sys
from genbench.process.environment import adopt_worker_environment
LOADED
{ADOPTED}
adopt_worker_environment()
faults()
print(faults())
print(*(int(name in os.environ) for name in ("GOMP_SPINCOUNT", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")))
"""

DENORMALS = """
import torch
from genbench.train.torch_setup import set_up_torch
set_up_torch(2)
tiny = torch.full((1 << 20,), 2.0**-120)
product = tiny * 2.0**-20  # 2^-140, in both threads
torch.set_flush_denormal(False)
print(torch.get_num_threads(), int((product != 0).sum()))
"""


def python(program: str, environment: dict[str, str]) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(not environment._glibc_version(), reason="another C library")
def test_a_worker_requests_memory_that_it_reuses_only_once_from_the_kernel() -> None:
    (found,) = python(FAULTS, worker_environment())
    assert found < 100  # 20 blocks have 81,920 pages


@pytest.mark.skipif(environment._glibc_version() < (2, 35), reason="another C library, or an older one")
@pytest.mark.parametrize(("loaded", "openmp"), [("", 1), ("sys.modules['torch'] = None", 0)])
def test_a_process_that_has_started_adopts_what_still_takes_effect(loaded: str, openmp: int) -> None:
    """OpenMP has read its variables once torch is loaded; a result that named one then would be wrong."""
    started = {name: value for name, value in os.environ.items() if name not in worker_environment({})}
    before, found, *variables = python(ADOPTED.replace("LOADED", loaded), started)
    assert found < 100 < before
    assert variables == [openmp, 1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="how threads inherit the setting is specific to Linux")
def test_denormal_numbers_are_flushed_to_zero_in_all_threads() -> None:
    threads, left = python(DENORMALS, dict(os.environ))
    assert threads == 2
    assert left == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"OMP_WAIT_POLICY": "passive"}, "GOMP_SPINCOUNT"),
        ({"MALLOC_ARENA_MAX": "2"}, "MALLOC_TRIM_THRESHOLD_"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, "MALLOC_MMAP_THRESHOLD_"),
    ],
)
def test_settings_of_the_user_are_kept(given: dict[str, str], kept: str) -> None:
    assert kept in worker_environment({})
    assert kept not in worker_environment(given)
    assert worker_environment(given).items() >= given.items()


@pytest.mark.parametrize(("version", "threshold"), [("glibc 2.31", 32 << 20), ("glibc 2.36", 1 << 30)])
def test_no_version_of_glibc_gets_a_threshold_that_it_refuses(
    version: str, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.os, "confstr", lambda _: version)
    assert worker_environment({})["MALLOC_MMAP_THRESHOLD_"] == str(threshold)
