"""Fixtures of the timings: device, description of the machine, synchronised targets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import pytest

from genbench.measure import machine
from genbench.process.environment import adopt_worker_environment

adopt_worker_environment()  # before torch is imported, which reads them


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run in one process: a second worker would disturb the timings."""
    config.option.numprocesses, config.option.dist = 0, "no"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device that the targets of benchmarks/ run on: cpu, cuda")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> Iterator[object]:
    """The torch device of this session, set up as in a worker that trains in fp32."""
    from genbench.measure.accelerator import select_device
    from genbench.train.torch_setup import step_settings

    with step_settings("fp32"):
        yield select_device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def fingerprint(device: object) -> dict[str, object]:
    """Everything that must agree before two timings are compared, with its hash."""
    import torch

    from genbench.measure import accelerator

    assert isinstance(device, torch.device)
    found = {
        **machine.describe(),
        "threads": torch.get_num_threads(),
        "openmp": machine.openmp_settings(),
        "device": device.type,
        "accelerator": accelerator.accelerator_name(device),
        "driver": accelerator.driver_version(device),
    }
    text = json.dumps(found, sort_keys=True)
    return {**found, "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16]}


@pytest.fixture
def synchronised(device: object) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """Turn a function into a target that synchronises with the device before it returns."""
    import torch

    from genbench.measure.clock import synchronise

    assert isinstance(device, torch.device)
    where = device

    def make(function: Callable[[], object]) -> Callable[[], object]:
        def target() -> object:
            result = function()
            synchronise(where)
            return result

        return target

    return make
