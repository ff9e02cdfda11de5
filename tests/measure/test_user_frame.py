"""Errors and calls are located in the code of a plugin's author."""

from __future__ import annotations

import concurrent.futures
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from genbench.api.specs import resolve
from genbench.builtin.losses.variational.schedules import cyclical, linear
from genbench.cell.failure import diagnose
from genbench.measure import user_frame
from genbench.measure.user_frame import calling_line, error_location
from genbench.seeds import derive_seed

FAILING_CALLS: dict[str, Callable[[], object]] = {
    "its own code": lambda: {}["x"],
    "torch": lambda: torch.nn.Linear(2, 2)(torch.ones(3)),
    "numpy": lambda: np.stack([]),
    "the standard library": lambda: random.choice([]),
    "the contract": lambda: resolve("no_such_module:attribute"),
    "a built-in plugin": lambda: cyclical(torch.ones(1), "half", 2),  # type: ignore[arg-type]
}


class Broken:
    def __rtruediv__(self, other: object) -> object:
        raise LookupError("broken")


def caught(act: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as info:
        act()
    assert isinstance(info.value, Exception)
    return info.value


def raised_inside_genbench(act: Callable[[], object]) -> Exception:
    """Return the error without the frames of this file: as if genbench had made the call."""
    error = caught(act)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)


@pytest.mark.parametrize("what", FAILING_CALLS)
def test_an_error_is_located_at_the_authors_line_that_led_to_it(what: str) -> None:
    call = FAILING_CALLS[what]
    error, place = caught(call), f" (test_user_frame.py, line {call.__code__.co_firstlineno})"
    assert error_location(error) == place
    assert diagnose(error)[1] == f"{type(error).__name__}: {error}{place}"


def test_a_plugin_that_a_built_in_plugin_calls_is_the_one_named() -> None:
    line = Broken.__rtruediv__.__code__.co_firstlineno + 1
    error = raised_inside_genbench(lambda: linear(torch.ones(1), Broken()))  # type: ignore[arg-type]
    assert error_location(error) == f" (test_user_frame.py, line {line})"


def test_a_built_in_plugin_is_named_where_no_other_is_involved() -> None:
    error = raised_inside_genbench(lambda: cyclical(torch.ones(1), "half", 2))  # type: ignore[arg-type]
    assert error_location(error).startswith(" (schedules.py, line ")


def test_machinery_is_named_only_on_request() -> None:
    error = raised_inside_genbench(lambda: derive_seed(0, "\ud800"))
    assert error_location(error) == ""
    assert error_location(error, or_machinery=True).startswith(" (seeds.py, line ")


def test_an_error_that_was_never_raised_has_no_location() -> None:
    assert error_location(ValueError("no"), or_machinery=True) == ""


def test_an_installed_plugin_package_named_genbench_something_counts_as_a_plugin() -> None:
    beside = str(Path(user_frame.__file__).parents[1]) + "_wgan"
    source = "def fail():\n    raise LookupError('wrong')\n"
    namespace: dict[str, Callable[[], object]] = {}
    exec(compile(source, f"{beside}/__init__.py", "exec"), namespace)
    error = raised_inside_genbench(namespace["fail"])
    assert error_location(error) == " (__init__.py, line 2)"


def test_the_calling_line_is_the_innermost_outside_libraries() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(calling_line).result() is None  # on that thread's stack there is only the standard library
    here = calling_line()
    assert here is not None
    assert (Path(here.file).name, here.own) == ("test_user_frame.py", False)


def test_the_observers_in_the_list_exist() -> None:
    assert all(Path(name).is_file() for name in user_frame._OBSERVERS)
