"""Reporters and extractors that break the contract are named, with the function, what came and the author's line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genbench.api.evaluation import Extractor
from genbench.api.specs import ExtractorSpec
from genbench.errors import SpecError
from genbench.features.extract import extract, load_extractor
from genbench.plugins.loader import Kind, file_plugins
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.testing.run_checks import Examination, checks_for
from genbench.testing.subject import Subject

REPORTERS = {  # the class or function -> what the kit says
    "class Reporter:\n    def window_finished(self, event): ...": "create(run, options) cannot be called",
    "def Reporter(run, options): ...": "create returned None",
    "class Reporter:\n    def __init__(self, run, options): ...": "no method for any event",
    "class Reporter:\n    def __init__(self, run, options): ...\n    def window_finished(self): ...": (
        "window_finished(event) cannot be called"
    ),
    "class Reporter:\n    def __init__(self, run, options): ...\n    def window_finished(self, event): 1 / 0": (
        "ZeroDivisionError: division by zero"
    ),
}


@pytest.mark.parametrize("code", REPORTERS)
def test_a_reporter(code: str, tmp_path: Path) -> None:
    path = tmp_path / "reporter.py"
    path.write_text(
        f"import genbench\n{code}\n@genbench.hookimpl\ndef genbench_reporters():\n"
        '    yield genbench.ReporterSpec(name="mine", summary="x", create=Reporter)\n'
    )
    (failed, *_) = violations("reporters", path)
    assert REPORTERS[code] in failed
    assert "(reporter.py, line " in failed or "returned None" in failed


def violations(kind: Kind, path: Path) -> list[str]:
    catalogue = load_catalogue([plugin.__dict__ for plugin in file_plugins([path])])
    examination = Examination(Subject(kind, "mine", catalogue))
    outcomes = map(examination.outcome, checks_for(examination.subject))
    return [outcome.reason for outcome in outcomes if outcome.verdict == "failed"]


class Rows:
    name, protocol, whiten = "fd-mine", {"rows": 8}, False

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean((1, 3))


class Unnamed(Rows):
    name = None  # type: ignore[assignment]


class Listed(Rows):
    protocol = ["rows"]  # type: ignore[assignment] # noqa: RUF012


LOADERS = {
    "none": (lambda device: None, "not a loaded extractor"),
    "class": (lambda device: Rows, "the class Rows, not an instance"),
    "tuple": (lambda device: (Rows(), {}), "which cannot be called with images"),
    "arity": (lambda: Rows(), "cannot be called"),
    "name": (lambda device: Unnamed(), "whose name is None"),
    "protocol": (lambda device: Listed(), "whose protocol is a list of str"),
    "missing": (lambda device: lambda pixels: pixels, "whose name is missing"),
    "classifies": (lambda device: Rows(), "no method logits"),
}


@pytest.mark.parametrize("name", LOADERS)
def test_an_extractor_that_is_none(name: str) -> None:
    load, words = LOADERS[name]
    spec = ExtractorSpec(name="mine", load=load, classifies=name == "classifies")
    with pytest.raises(SpecError, match=r"Extractor 'mine': load\(device\).*test_reporter_and.*, line \d+") as error:
        load_extractor(spec, torch.device("cpu"))
    assert words in str(error.value)


class Flat(Rows):
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().mean((1, 2, 3))


class Arrays(Rows):
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("extractor", "words"), [(Flat(), r"shape \(2,\) for 2"), (Arrays(), "a ndarray|an ndarray")])
def test_features_of_the_wrong_kind(extractor: Extractor, words: str) -> None:
    with pytest.raises(SpecError, match=rf"Extractor 'fd-mine': __call__\(pixels\).*{words}.*line \d+"):
        extract(extractor, torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.device("cpu"), 2)
