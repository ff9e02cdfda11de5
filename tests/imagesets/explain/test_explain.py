"""Explanations of distances between small sets of images, with a tiny network in Inception's place."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_inception import use_tiny_inception
from torch import Tensor

import genbench
from genbench.builtin.extractors import inception, inception_weights
from genbench.errors import DataError, NoDataError, UsageError
from genbench.imagesets.explain.network_input import coloured, stored
from genbench.imagesets.explain.protocol import TOOLS

CPU: dict[str, Any] = {"device": "cpu"}


def pictures(seed: int, n: int, channels: int = 3, size: int = 24) -> Tensor:
    """Smooth images with some detail."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 6, 6, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    noise = 0.15 * torch.rand(n, channels, size, size, generator=rng)
    return ((0.85 * smooth + noise) * 255).to(torch.uint8)


REAL, FAKE = pictures(0, 24), pictures(1, 22) // 2 + 60


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_tiny_inception(monkeypatch, tmp_path)
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> genbench.Explanation:
    """The comparison of all tools."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_inception(patch, folder)
        return genbench.explain_distance(REAL, FAKE, **CPU)


def test_every_tools_value_is_that_of_its_own_extractor_and_the_steps_sum_to_the_difference(
    compared: genbench.Explanation,
) -> None:
    found = compared
    here = found.distances[0]
    assert here.names == ("here", "pytorch-fid")
    names = {name: one for one in found.distances for name in one.names}
    assert {*TOOLS} == {*names} - {"here"}
    for extractor, tool in (
        ("inception", "pytorch-fid"),
        ("inception-clean", "clean-fid"),
        ("inception-legacy-tensorflow", "torch-fidelity"),
    ):
        (expected,) = genbench.distance(REAL, FAKE, "fd", extractor=extractor, **CPU).estimates
        assert names[tool].value == pytest.approx(expected.value, rel=1e-5)
        assert names[tool].standard_error == pytest.approx(expected.standard_error, rel=0.5)  # other blocks
    assert len(found.waterfalls) == len(found.distances) - 1
    for waterfall in found.waterfalls:
        assert waterfall.all_orders
        assert waterfall.start_value == here.value
        assert sum(step.effect for step in waterfall.steps) == pytest.approx(waterfall.difference, abs=1e-9)
        assert sum(step.mean_over_orders or 0 for step in waterfall.steps) == pytest.approx(waterfall.difference)
        assert waterfall.end_value - waterfall.start_value == pytest.approx(waterfall.difference)
        assert all(step.lowest <= step.effect <= step.highest for step in waterfall.steps)
    assert all(one.difference_error < one.standard_error for one in found.distances[1:])  # type: ignore[operator]


def test_one_choice_alone_has_the_effect_that_doing_it_beforehand_has(compared: genbench.Explanation) -> None:
    found = compared
    here = found.distances[0].value
    effects = {(one.choice, one.value): one.effect for one in found.alternatives}

    def other(real: Tensor, fake: Tensor) -> float:
        return genbench.distance(real, fake, "fd", **CPU).estimates[0].value - here

    jpeg = stored(FAKE, "jpeg-75")
    assert effects["storage", "jpeg-75"] == pytest.approx(other(REAL, jpeg), rel=1e-4)
    assert effects["reference_storage", "jpeg-75"] == pytest.approx(other(stored(REAL, "jpeg-75"), FAKE), rel=1e-4)
    grey = coloured(REAL, "grey"), coloured(FAKE, "grey")
    assert effects["colour", "grey"] == pytest.approx(other(*grey), rel=1e-4)
    # dividing both covariances by N instead of N - 1 scales the factors
    assert effects["ddof", 0] < 0
    assert {choice for choice, _ in effects} == {
        "layer", "n_reference", "n", "reference_storage", "storage", "colour", "resize", "rounding", "scale", "ddof",
    }  # fmt: skip
    assert found.not_varied.keys() == {"extractor", "weights", "split"}


def test_the_known_effect_of_jpeg() -> None:
    """A set and its copy stored as JPEG: the distance is only what JPEG did, and grows as the quality falls."""
    found = genbench.explain_distance(REAL, REAL, "pytorch-fid", **CPU)
    assert found.distances[0].value == pytest.approx(0, abs=1e-6)
    effects = {one.value: one.effect for one in found.alternatives if one.choice == "storage"}
    assert 0 < effects["jpeg-95"] < effects["jpeg-75"]
    both = genbench.explain_distance(REAL, REAL, "storage=jpeg-75, reference_storage=jpeg-75", **CPU)
    assert both.distances[1].value == pytest.approx(0, abs=1e-6)
    (waterfall,) = both.waterfalls
    assert [step.choice for step in waterfall.steps] == ["reference_storage", "storage"]
    assert waterfall.steps[0].effect == pytest.approx(-waterfall.steps[1].effect)  # each undoes the other


def test_stored_as_jpeg_is_what_pillow_writes_and_reads() -> None:
    for pixels in (REAL[:2], pictures(3, 2, channels=1)):
        for image, found in zip(pixels, stored(pixels, "jpeg-60"), strict=True):
            file = io.BytesIO()
            array = image.permute(1, 2, 0).numpy()
            Image.fromarray(array.squeeze()).save(file, "JPEG", quality=60)
            expected = np.asarray(Image.open(file)).reshape(array.shape)
            assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)
    assert torch.equal(stored(REAL, "png"), REAL)


def test_colours_are_converted_as_pillow_does() -> None:
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (1, 3, 200, 200), generator=rng, dtype=torch.uint8)
    expected = np.asarray(Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).convert("L"))
    assert np.array_equal(coloured(pixels, "grey")[0, 0].numpy(), expected)
    assert torch.equal(coloured(pixels, "bgr"), pixels[:, [2, 1, 0]])
    assert torch.equal(coloured(pixels, "rgb"), pixels)


def test_a_stated_protocol_is_measured_and_what_it_leaves_open_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "published", lambda _sha256: True)
    found = genbench.explain_distance(REAL, FAKE, "n=20, clean-fid", **CPU)
    assert found.metric == "fid"
    assert [one.names for one in found.distances] == [("here",), ("as stated",)]
    check = found.check
    assert check is not None
    assert check.reproduced
    status = {one.choice: one.status for one in check.choices}
    assert status == {
        "extractor": "same", "weights": "same", "layer": "same", "split": "not stated", "n_reference": "not stated",
        "n": "differs", "reference_storage": "not stated", "storage": "not stated", "colour": "not stated",
        "resize": "differs", "rounding": "same", "scale": "differs", "ddof": "same",
    }  # fmt: skip
    (waterfall,) = found.waterfalls
    assert [step.choice for step in waterfall.steps] == ["n", "resize", "scale"]
    rows = {one.choice: one for one in check.choices}
    storage = [one.effect for one in found.alternatives if one.choice == "storage"]
    assert rows["storage"].highest == max(0.0, *storage)
    assert rows["storage"].lowest == min(0.0, *storage)
    assert check.highest == pytest.approx(sum(one.highest for one in check.choices))
    assert {one.choice for one in found.alternatives} == {
        "n_reference", "reference_storage", "storage", "colour",
    }  # fmt: skip
    assert "not comparable (n, resize, scale); that under the stated protocol is" in str(found)


def test_what_cannot_be_done_is_named() -> None:
    found = genbench.explain_distance(REAL, FAKE, "50k, train, pytorch-fid", **CPU)
    check = found.check
    assert check is not None
    assert not check.reproduced
    rows = {one.choice: one for one in check.choices}
    assert {choice for choice, one in rows.items() if one.status == "not at hand"} == {"weights", "split", "n"}
    assert rows["split"].reason == "REAL is not a dataset"
    assert rows["weights"].reason.startswith("the weights at hand are ")
    assert rows["n"].reason == "only 22 are at hand; extrapolated from the jackknife bias"
    assert rows["n"].lowest < 0 == rows["n"].highest  # more images would lower it
    assert found.waterfalls[0].steps == ()
    assert "not comparable: weights, split, n could not be done as stated" in str(found)
    exact = genbench.explain_distance(REAL, FAKE, "n=22, n_reference=24", **CPU).check
    assert exact is not None
    assert {one.status for one in exact.choices if one.choice in ("n", "n_reference")} == {"same"}


def test_the_splits_of_a_dataset(tmp_path: Path) -> None:
    for number, image in enumerate(pictures(7, 60, channels=1, size=28)):
        folder = tmp_path / "photos" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / f"{number}.png")
    dataset = f"folder:{tmp_path / 'photos'}"
    fake = pictures(2, 24, channels=1, size=28)
    found = genbench.explain_distance(f"{dataset}@test", fake, "n_reference=5", extractor="fashion-cnn", **CPU)
    assert {one.value for one in found.alternatives if one.choice == "split"} == {"train", "both"}
    splits = {split: genbench.explain_distance(f"{dataset}@test", fake, split, extractor="fashion-cnn", **CPU)
              for split in ("train", "both")}  # fmt: skip
    (plain,) = genbench.distance(f"{dataset}@train", fake, "fd", extractor="fashion-cnn", **CPU).estimates
    assert splits["train"].distances[1].value == pytest.approx(plain.value, rel=1e-4)
    assert splits["train"].waterfalls[0].steps[0].before == "test"
    effects = {one.choice: one.effect for one in splits["both"].waterfalls[0].steps}
    assert splits["both"].distances[1].difference == pytest.approx(effects["split"])
    assert found.not_varied["resize"] == "it is part of the extractor 'fashion-cnn'"


def test_another_extractor_has_the_choices_that_apply_to_it() -> None:
    found = genbench.explain_distance(REAL, FAKE, extractor="fashion-cnn", **CPU)
    plain = genbench.distance(REAL, FAKE, "fd", extractor="fashion-cnn", **CPU)
    assert found.distances[0].value == pytest.approx(plain.estimates[0].value, rel=1e-6)
    assert list(found.warnings) == list(plain.warnings)
    assert any("not more than the 64 features" in warning for warning in found.warnings)
    assert {one.choice for one in found.alternatives} == {
        "n_reference", "n", "reference_storage", "storage", "colour", "ddof"
    }  # fmt: skip
    stated = genbench.explain_distance(REAL, FAKE, "clean-fid", extractor="fashion-cnn", **CPU)
    (waterfall,) = stated.waterfalls
    assert [step.choice for step in waterfall.steps] == ["extractor", "resize", "scale"]
    (clean,) = genbench.distance(REAL, FAKE, "fd", extractor="inception-clean", **CPU).estimates
    assert waterfall.end_value == pytest.approx(clean.value, rel=1e-5)


def test_choices_that_another_extractor_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, "missing.pth")
    missing = genbench.explain_distance(REAL, FAKE, "clean-fid", extractor="fashion-cnn", **CPU).check
    assert missing is not None
    rows = {one.choice: one for one in missing.choices}
    assert "missing.pth" in rows["extractor"].reason
    assert rows["resize"].status == rows["weights"].status == "not at hand"
    stated = genbench.explain_distance(REAL, FAKE, "resize=bicubic", extractor="fashion-cnn", **CPU)
    assert stated.check is not None
    assert not stated.check.reproduced


def test_choices_without_effect_are_named_and_pass_the_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    layers = inception.Inception.features_of_layers

    def counted(self: Any, inputs: Tensor, wanted: Any) -> Tensor:
        passes.append(len(inputs))
        return layers(self, inputs, wanted)

    monkeypatch.setattr(inception.Inception, "features_of_layers", counted)
    real, fake = pictures(0, 4, channels=1, size=299), pictures(1, 4, channels=1, size=299)
    found = genbench.explain_distance(real, fake, **CPU)
    assert found.not_varied["colour"] == "all images are grey"
    assert found.not_varied["resize"] == found.not_varied["rounding"] == "all images are 299×299, which are not resized"
    by_choice = itertools.groupby(found.distances[1:], lambda one: one.protocol.scale)
    assert [scale for scale, _ in by_choice] == ["(x-128)/128"]
    clean, tensorflow = (one.value for one in found.distances[1:] if {"clean-fid", "ttur"} & {*one.names})
    assert clean == tensorflow
    assert sum(passes) <= 2 * 4 * (3 * 2 + 2)  # sets × images × (scales and storages, with all layers or one)


def test_an_explanation_is_plain_data() -> None:
    found = genbench.explain_distance(REAL[:9], FAKE[:8], "clean-fid", **CPU)
    data = json.loads(found.to_json())
    assert data["distances"][1]["protocol"]["resize"] == "bicubic-antialias"
    assert data["waterfalls"][0]["steps"][0].keys() >= {"choice", "before", "after", "effect", "standard_error"}
    assert data["check"]["choices"][0]["status"] == "same"
    assert "<pre>" in found._repr_html_()


def test_the_figure_has_a_bar_for_each_step_of_each_waterfall(compared: genbench.Explanation, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = compared.figure(theme="paper", width="one-column")
    drawn = figure.to_bytes("svg").decode()
    for number, waterfall in enumerate(compared.waterfalls):
        for place, step in enumerate(waterfall.steps, 1):
            assert f'id="step-{number}-{place}"' in drawn
            assert step.choice in figure.caption
    assert figure.save(tmp_path / "waterfall.png").stat().st_size > 1000
    nothing = dataclasses.replace(compared, waterfalls=())
    with pytest.raises(NoDataError, match="no waterfall"):
        nothing.figure()


def test_unreadable_images_few_images_and_statistics(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, image in enumerate(REAL[:5]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    found = genbench.explain_distance(folder, FAKE[:3], "pytorch-fid", **CPU)
    assert found.real.skipped == 1
    assert any("broken.png" in warning for warning in found.warnings)
    assert any("singular" in warning for warning in found.warnings)
    assert "n" in found.not_varied
    with pytest.raises(DataError, match=r"broken\.png"):
        genbench.explain_distance(folder, FAKE, strict=True, **CPU)
    with pytest.raises(DataError, match="one readable image"):
        genbench.explain_distance(REAL, FAKE[:1], **CPU)
    with pytest.raises(DataError, match="no distance"):
        genbench.explain_distance(
            torch.zeros(4, 1, 28, 28, dtype=torch.uint8), REAL[:4], extractor="fashion-cnn", **CPU
        )
    statistics = genbench.save_image_statistics(REAL, tmp_path / "real.npz", **CPU)
    with pytest.raises(UsageError, match="needs images on both sides"):
        genbench.explain_distance(statistics, FAKE, **CPU)


def test_missing_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(inception_weights.VARIABLE, "missing.pth")
    with pytest.raises(NoDataError, match=r"missing\.pth"):
        genbench.explain_distance(REAL, FAKE, **CPU)
