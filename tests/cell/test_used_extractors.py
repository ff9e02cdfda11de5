"""A run on images that no extractor was made for: its extractor is trained and certified once, before the cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import genbench
from genbench.builtin.extractors import classifier, self_supervised
from genbench.cell import used_extractors
from genbench.cell.reference_rows import measure_reference
from genbench.errors import DataError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.process.messages import Job
from genbench.process.worker_channel import WorkerChannel
from genbench.report.table.references import Reference, chosen_distances
from genbench.results.schema import PlannedReference, ReferenceResult


@pytest.fixture(autouse=True)
def a_moment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(self_supervised, "BUDGET", 256)
    monkeypatch.setattr(classifier, "BUDGET", 512)
    monkeypatch.setattr(classifier, "LEAST_SKILL", -10.0)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was trained, in order."""
    found: list[str] = []
    for module in (classifier, self_supervised):
        train: Callable[..., Any] = module._train

        def counted(*arguments: Any, train: Any = train, name: str = module.__name__) -> Any:
            found.append(name.rpartition(".")[2])
            return train(*arguments)

        monkeypatch.setattr(module, "_train", counted)
    return found


def write_images(folder: Path, count: int = 260, classes: int = 0) -> Path:
    """Write grey images of one disc each; with classes, in a sub-folder by the size of the disc."""
    rng = torch.Generator().manual_seed(0)
    row, column = torch.arange(16).view(-1, 1), torch.arange(16)
    for number in range(count):
        y, x = (float(value) for value in 4 + 8 * torch.rand(2, generator=rng))
        group = number % max(1, classes)
        radius = 2 + 3 * group if classes else 2 + 3 * float(torch.rand(1, generator=rng))
        picture = 180 * (((row - y) ** 2 + (column - x) ** 2) < radius**2) + 20 * torch.rand(16, 16, generator=rng)
        place = folder / f"c{group}" if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.to(torch.uint8).numpy()).save(place / f"{number:04}.png")
    return folder


def planned(folder: Path, metrics: str | None = None) -> PlannedReference:
    given = {"models": "gan", "datasets": f"folder:{folder}", "profile": "smoke", "images": 64, "samples": 64}
    request = make_request(
        {**given, **({"metrics": metrics} if metrics else {})}, ("folder.size=28", "folder.channels=1")
    )
    (reference,) = make_plan(request, discover(), "cpu").references
    return reference


def measure(reference: PlannedReference, run: Path) -> ReferenceResult:
    return measure_reference(Job(task="reference", reference=reference, run=str(run)), WorkerChannel(None))


def caption(result: ReferenceResult) -> str:
    (row, *_) = result.rows
    return " ".join(chosen_distances([Reference("run", result, row)]))


def test_images_without_labels(tmp_path: Path, trainings: list[str]) -> None:
    reference = planned(write_images(tmp_path / "discs"))
    assert trainings == []
    result = measure(reference, tmp_path)
    assert trainings == ["self_supervised"]  # for the certificate and for both rows
    (used,) = result.extractors
    assert (used.extractor, used.distance) == ("learned", "fd-ssl-folder")
    assert used.training == "self-supervised, SimCLR, because it has no labels"
    assert used.certificate in ("monotone", "undecided", "not monotone")
    assert used.remark.endswith("52 held-out images")
    assert used.seconds is not None
    said = caption(result)
    assert said.startswith("fd-ssl-folder: its network was trained on folder: self-supervised, SimCLR, because")
    assert "chosen because no extractor was made for folder" in said
    assert "--metrics fid measures the FID" in said
    assert ("not certified" in said) == (used.certificate != "monotone")
    real, noise = (row.estimates[0] for row in result.rows)
    assert real.metric == noise.metric == "fd-ssl-folder"
    assert real.value < noise.value


def test_images_in_folders_of_classes(tmp_path: Path, trainings: list[str]) -> None:
    folder = write_images(tmp_path / "discs", classes=2)
    result = measure(planned(folder, "fd,fd-classifier,fd-self-supervised"), tmp_path)
    assert trainings == ["classifier", "self_supervised"]
    for row in result.rows:
        assert [one.metric for one in row.estimates] == [
            "fd-cnn-folder",
            "fd-ssl-folder",
        ]  # one value of it
        assert row.unavailable == []
    used = {one.extractor: one for one in result.extractors}
    assert used["learned"].training.startswith("to classify its labels (")
    assert used["self-supervised"].reason == ""
    assert used["learned"].distance == used["classifier"].distance == "fd-cnn-folder"


def test_a_certificate_is_measured_once_and_a_damaged_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    measured: list[str] = []
    certify = used_extractors.certify

    def counted(*arguments: Any) -> Any:
        measured.append(arguments[1])
        return certify(*arguments)

    monkeypatch.setattr(used_extractors, "certify", counted)
    reference = planned(write_images(tmp_path / "discs"))
    first, again = measure(reference, tmp_path), measure(reference, tmp_path)
    assert measured == ["learned"]
    assert trainings == ["self_supervised"]
    assert first.extractors[0].certificate == again.extractors[0].certificate
    (file,) = (tmp_path / "cache" / "extractors").glob("*.certificate.json")
    file.write_bytes(file.read_bytes()[:-3])
    measure(reference, tmp_path)
    assert measured == ["learned", "learned"]


@pytest.mark.parametrize(("count", "failing"), [(100, False), (260, True)])
def test_without_a_certificate_the_caption_says_why(
    count: int, failing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise DataError("no distance")

    if failing:
        monkeypatch.setattr(used_extractors, "certify", fail)
    why = "no distance" if failing else "20 held-out images are too few; 40 would do"
    assert f"not certified: {why}" in caption(measure(planned(write_images(tmp_path / "discs", count)), tmp_path))


@pytest.mark.slow
def test_cells_and_runs_share_the_extractor_and_say_which_it_is(tmp_path: Path, trainings: list[str]) -> None:
    given: dict[str, Any] = {
        "datasets": f"folder:{write_images(tmp_path / 'discs')}", "profile": "smoke", "images": 64, "samples": 64,
        "set": {"folder": {"size": 28, "channels": 1}}, "in_process": True, "progress": False, "device": "cpu",
    }  # fmt: skip
    plan = genbench.plan(models="gan", **given)
    assert "folder is measured with learned: no extractor was made for folder" in plan.text()
    results = genbench.run(models="gan,vae", out=tmp_path / "first", **given)
    again = genbench.run(models="gan", out=tmp_path / "second", **given)
    assert trainings == ["self_supervised"]
    estimates = [cell.estimate("fd-ssl-folder") for cell in (*results.cells, *again.cells)]
    assert len({estimate.protocol["weights_sha256"] for estimate in estimates}) == 1
    assert "fd-ssl-folder: its network was trained on folder: self-supervised" in results.table().caption
