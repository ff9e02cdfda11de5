"""The pytest plugin of genbench: the fixture `genbench_step`.

pytest loads this module in every session if genbench is installed; the rest is imported when the fixture is used.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from genbench.testing.step import StepBenchmark


@pytest.fixture
def genbench_step(request: pytest.FixtureRequest) -> StepBenchmark:
    """Measure a model's training step with pytest-benchmark: ``genbench_step("my-gan", batch_size=32)``."""
    if importlib.util.find_spec("pytest_benchmark") is None:
        pytest.fail("genbench_step requires pytest-benchmark: pip install pytest-benchmark", pytrace=False)
    from genbench.process.environment import adopt_worker_environment

    adopt_worker_environment()  # before torch is imported, if no test has done so
    from genbench.testing.step import StepBenchmark

    return StepBenchmark(request.getfixturevalue("benchmark"))
