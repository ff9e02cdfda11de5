"""`genbench fid`: every kind of image set, the report, and the exit codes."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import TINY
from PIL import Image
from warm import run

from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.extractors import fashion_cnn, inception_weights
from genbench.cli import invoke
from genbench.features.extract import extract
from genbench.imagesets.resolve import SamplingSettings, find_image_set
from genbench.metrics.frechet import frechet_distance, statistics, whiten
from genbench.plugins.catalogue import discover
from genbench.results.store import RunDirectory

CPU = torch.device("cpu")
SMALL = ("--extractor", "fashion-cnn")


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("genbench.commands.distance.discover", functools.cache(lambda _files=(): discover([])))
    monkeypatch.setenv("GENBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    monkeypatch.setattr(inception_weights, "URL", "http://127.0.0.1:1/weights.pth")  # nobody listens there
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def clothes() -> torch.Tensor:
    return torch.as_tensor(fashion_mnist_mini.load(None, Path("unused")).test.pixels)[:300]


@pytest.fixture
def folders(tmp_path: Path, clothes: torch.Tensor) -> tuple[Path, Path]:
    return save(tmp_path / "real", clothes[:150]), save(tmp_path / "fake", 255 - clothes[150:250])


def save(folder: Path, images: torch.Tensor) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / f"{number:04}.png")
    return folder


def measure(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    code = invoke(["fid", *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    assert code in (0, 5), captured.err
    return {**json.loads(captured.out), "code": code, "err": captured.err}


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    capsys.readouterr()
    assert invoke(["fid", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""  # never a result
    return captured.err


def distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    network = fashion_cnn.load(CPU)
    one, other = (extract(network, images, CPU, 50) for images in (real, fake))
    transform = whiten(statistics(one))
    return frechet_distance(statistics(transform(other)), statistics(transform(one)))


@pytest.mark.slow
def test_every_kind_of_image_set_gives_the_same_distance(
    folders: tuple[Path, Path], clothes: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = distance(clothes[:150], 255 - clothes[150:250])
    images = (255 - clothes[150:250]).permute(0, 2, 3, 1).numpy()
    np.save(tmp_path / "fake.npy", images)
    np.savez_compressed(tmp_path / "fake.npz", images=images, labels=np.arange(100))
    real, fake = folders
    assert invoke(["fid", str(real), *SMALL, "--save-stats", str(tmp_path / "real.npz")]) == 0
    for one in (real, tmp_path / "real.npz"):
        for other in (fake, tmp_path / "fake.npy", tmp_path / "fake.npz"):
            found = measure(capsys, one, other, *SMALL)
            (estimate,) = found["estimates"]
            assert estimate["value"] == pytest.approx(expected, rel=1e-5)
            assert estimate["metric"] == "fd-fashion-cnn"
            assert (estimate["n"], found["real"]["n"], found["fake"]["n"], found["code"]) == (100, 150, 100, 0)
            assert estimate["standard_error"] > 0
            assert estimate["protocol"]["n_reference"] == 150


@pytest.mark.slow
def test_a_split_of_a_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    catalogue = discover([])
    sides = [
        find_image_set(text, catalogue, SamplingSettings(CPU))
        for text in ("fashion-mnist-mini", "fashion-mnist-mini@test")
    ]
    assert [side.title.rpartition(" ")[2] for side in sides] == ["train", "test"]
    assert [side.images.expected for side in sides if side.images] == [8000, 2000]
    found = measure(capsys, "fashion-mnist-mini@test", "fashion-mnist-mini@test", *SMALL, "--batch-size", "500")
    (estimate,) = found["estimates"]
    assert estimate["value"] == pytest.approx(0, abs=1e-6)


def test_the_distance_of_a_set_to_itself_is_zero(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (estimate,) = measure(capsys, folders[0], folders[0], *SMALL)["estimates"]
    assert estimate["value"] == pytest.approx(0, abs=1e-6)


def test_other_metrics_of_the_same_features(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(capsys, *folders, *SMALL, "--metrics", "fd,kd,prdc")
    names = [estimate["metric"] for estimate in found["estimates"]]
    assert names[0] == "fd-fashion-cnn"
    assert names[1] == "kd-fashion-cnn"
    assert {name.partition("-")[0] for name in names[2:]} == {"precision", "recall", "density", "coverage"}
    assert found["code"] == 0
    protocols = [estimate["protocol"] for estimate in found["estimates"]]
    assert all(protocol["reference_split"] == "first side" for protocol in protocols)


def test_statistics_allow_only_the_frechet_distance(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["fid", str(folders[0]), *SMALL, "--save-stats", str(tmp_path / "real.npz")]) == 0
    found = measure(capsys, tmp_path / "real.npz", folders[1], *SMALL, "--metrics", "fd,kd,memorisation")
    assert [estimate["metric"] for estimate in found["estimates"]] == ["fd-fashion-cnn"]
    assert "the first image set consists of statistics" in found["unavailable"][0]["reason"]
    assert found["code"] == 5


def gaussian(path: Path, seed: int, d: int = 64, **more: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(d, d))
    mean, covariance = rng.normal(size=d), root @ root.T / d + np.eye(d)
    np.savez(path, mu=mean, sigma=covariance, **more)
    return mean, covariance


def test_two_files_of_statistics_have_the_distance_of_the_closed_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whitened by the first: |m|² + tr(A) + d - 2 Σ √λ(A), by eigenvalues rather than by factors."""
    mean, covariance = gaussian(tmp_path / "a.npz", 0)
    other_mean, other = gaussian(tmp_path / "b.npz", 1)
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(values)
    shift, spread = (other_mean - mean) @ whitening, whitening.T @ other @ whitening
    expected = shift @ shift + np.trace(spread) + 64 - 2 * np.sqrt(np.linalg.eigvalsh(spread)).sum()
    found = measure(capsys, tmp_path / "a.npz", tmp_path / "b.npz", *SMALL)
    (estimate,) = found["estimates"]
    assert estimate["value"] == pytest.approx(expected, rel=1e-9)
    assert (estimate["n"], estimate["standard_error"], estimate["null"], found["code"]) == (None, None, None, 0)
    assert "n_reference" not in estimate["protocol"]
    both = measure(capsys, tmp_path / "a.npz", tmp_path / "b.npz", *SMALL, "--metrics", "fd,kd,prdc")
    assert both["estimates"] == found["estimates"]
    assert [one["metric"] for one in both["unavailable"]] == ["kd-fashion-cnn", "prdc-fashion-cnn"]
    assert all("consists of statistics" in one["reason"] for one in both["unavailable"])
    assert both["code"] == 5


def test_statistics_as_the_second_side_give_the_distance_of_their_images(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, fake = folders
    assert invoke(["fid", str(fake), *SMALL, "--save-stats", str(tmp_path / "fake.npz")]) == 0
    (expected,) = measure(capsys, real, fake, *SMALL)["estimates"]
    found = measure(capsys, real, tmp_path / "fake.npz", *SMALL)
    (estimate,) = found["estimates"]
    assert estimate["value"] == pytest.approx(expected["value"], rel=1e-6)
    assert estimate["null"] == expected["null"]
    assert (estimate["n"], found["code"]) == (100, 0)


def test_the_null_of_statistics_without_a_number_of_images_is_unknown_unless_it_is_given(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, foreign = tmp_path / "own.npz", tmp_path / "foreign.npz"
    assert invoke(["fid", str(folders[0]), *SMALL, "--save-stats", str(own)]) == 0
    with np.load(own) as stored:
        np.savez(foreign, mu=stored["mu"], sigma=stored["sigma"])
    (known,) = measure(capsys, own, folders[1], *SMALL)["estimates"]
    found = measure(capsys, foreign, folders[1], *SMALL)
    (unknown,) = found["estimates"]
    assert unknown["value"] == pytest.approx(known["value"], rel=1e-6)
    assert (unknown["null"], found["code"]) == (None, 0)
    assert "--n-real" in found["err"]
    (given,) = measure(capsys, foreign, folders[1], *SMALL, "--n-real", 150)["estimates"]
    assert given["null"] == pytest.approx(known["null"], rel=0.05)  # drawn from rounded eigenvalues
    assert given["protocol"] == known["protocol"]
    assert invoke(["fid", str(foreign), str(folders[1]), *SMALL]) == 0
    assert "a perfect generator n/a: the number of reference images is not stated" in capsys.readouterr().out
    assert "made from 150 images" in refused(capsys, 2, own, folders[1], *SMALL, "--n-real", "9")
    assert "is a set of images" in refused(capsys, 2, *folders, *SMALL, "--n-real", "150")


def test_a_cached_reference_has_the_same_shapes_and_warnings(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for file in sorted(folders[0].iterdir())[1:]:
        with Image.open(file) as image:
            image.convert("RGB").resize((20, 24)).save(file)
    (folders[0] / "left.jfif").write_bytes((folders[0] / "0001.png").read_bytes())
    first, second = (measure(capsys, *folders, *SMALL) for _ in range(2))
    assert (first["real"]["from_cache"], second["real"]["from_cache"]) == (False, True)
    assert first["real"] == {**second["real"], "from_cache": False}
    assert first["real"]["image_shapes"] == ["3×24×20", "1×28×28"]
    assert first["warnings"] == second["warnings"]
    assert "the first image set is grey and colour" in first["err"]
    assert first["estimates"] == second["estimates"]


def test_an_array_replaced_by_another_of_the_same_size_and_time_is_read_again(
    folders: tuple[Path, Path], tmp_path: Path, clothes: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for images in (clothes[:150], clothes[150:300]):
        np.save(tmp_path / "real.npy", images.numpy())
        os.utime(tmp_path / "real.npy", (1, 1))
        found.append(measure(capsys, tmp_path / "real.npy", folders[1], *SMALL))
    assert not found[1]["real"]["from_cache"]
    assert found[0]["estimates"][0]["value"] != found[1]["estimates"][0]["value"]
    assert measure(capsys, tmp_path / "real.npy", folders[1], *SMALL)["real"]["from_cache"]


def test_images_left_out_because_of_their_suffix_are_a_warning_and_strict_gives_no_result(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40):
        (folders[0] / f"{number:04}.png").rename(folders[0] / f"{number:04}{'.jfif' * (number % 2)}")
    for _ in range(2):  # the second time from the cache
        found = measure(capsys, *folders, *SMALL)
        assert (found["real"]["n"], found["real"]["left_out"], found["code"]) == (110, 40, 0)
        assert "40 images were left out because of the suffix" in found["err"]
        assert "40 images were left out" in refused(capsys, 5, *folders, *SMALL, "--strict")


@pytest.mark.slow
def test_the_reference_is_read_once_and_again_when_it_changes(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [measure(capsys, *folders, *SMALL) for _ in range(2)]
    assert [found["real"]["from_cache"] for found in runs] == [False, True]
    assert runs[0]["estimates"] == runs[1]["estimates"]
    os.utime(folders[0] / "0001.png", (1, 1))
    assert not measure(capsys, *folders, *SMALL)["real"]["from_cache"]


def test_unreadable_images_are_named_and_strict_gives_no_result(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (folders[0] / "0003.png").write_bytes(b"no picture")
    found = measure(capsys, *folders, *SMALL)
    assert (found["real"]["skipped"], found["real"]["n"], found["code"]) == (1, 149, 0)
    assert "0003.png (not an image in a known format)" in found["err"]
    assert "0003.png" in refused(capsys, 5, *folders, *SMALL, "--strict")
    assert list((tmp_path / "cache").rglob("*.npz")) == []  # an incomplete set is not cached


def test_differences_between_the_image_sets_are_reported(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "colour.npy", colour)
    err = measure(capsys, folders[0], tmp_path / "colour.npy", *SMALL)["err"]
    assert "the first image set is grey, the second colour" in err
    assert "images of 28×28, the second of 8×8" in err
    assert "40 images are not more than the 64 features" in err


def test_constant_images_have_a_distance_too(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "flat.npy", np.full((80, 28, 28), 7, np.uint8))
    (estimate,) = measure(capsys, folders[0], tmp_path / "flat.npy", *SMALL)["estimates"]
    assert estimate["value"] > 1


@pytest.mark.parametrize("n", [0, 1])
def test_one_image_is_too_few(
    n: int, folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "few.npy", np.zeros((n, 28, 28), np.uint8))
    assert "two are needed" in refused(capsys, 5, folders[0], tmp_path / "few.npy", *SMALL)


def test_statistics_of_other_features_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", mu=np.zeros(3), sigma=np.eye(3))
    assert "has 3 features, and the other image set has 64" in refused(
        capsys, 5, tmp_path / "other.npz", folders[0], *SMALL
    )
    np.savez(tmp_path / "pickled.npz", mu=np.zeros(3), sigma=np.array([{}], dtype=object))
    assert "pickle" in refused(capsys, 5, tmp_path / "pickled.npz", folders[0], *SMALL)
    np.savez(tmp_path / "nan.npz", mu=np.full(64, np.nan), sigma=np.eye(64))
    assert "not finite" in refused(capsys, 5, tmp_path / "nan.npz", folders[0], *SMALL)


def test_missing_weights_are_reported_with_file_name_and_alternative(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    err = refused(capsys, 5, *folders)
    assert inception_weights.FILE_NAME in err
    assert "--extractor fashion-cnn" in err


def test_invalid_weights_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not a file" in refused(capsys, 2, *folders, "--weights", tmp_path / "none.pth")
    (tmp_path / inception_weights.FILE_NAME).write_bytes(b"half")
    assert "damaged" in refused(capsys, 5, *folders, "--weights", tmp_path / inception_weights.FILE_NAME)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "{fake}"], "there is no folder nowhere, no dataset 'nowhere'"),
        (["fashion-mnist-min", "{fake}"], "Did you mean 'fashion-mnist-mini'"),
        (["{real}/missing.npz", "{fake}"], "does not exist"),
        (["{real}"], "FAKE is missing"),
        (["{real}", "{fake}", "--extractor", "fashion-cn"], "Did you mean 'fashion-cnn'"),
        (["{real}", "{fake}", "--metrics", "psnr"], "cannot be measured between two image sets"),
        (["{real}", "{fake}", "--metrics", "fidd"], "Unknown metric 'fidd'. Did you mean 'fid'"),
        (["{real}", "{fake}", "--metrics", "fid", "--extractor", "fashion-cnn"], "No metric uses --extractor"),
        (["{real}", "{fake}", "--device", "gpu"], "Unknown device"),
        (["{real}", "--save-stats", "out.txt"], "not a .npz"),
        (["gaussian-ring", "{fake}"], "contains no real images"),
        (["{real}/0000.png", "{fake}"], "is neither .npy nor .npz"),
    ],
)
def test_invalid_arguments_are_usage_errors(
    arguments: list[str], message: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    real, fake = folders
    given = [argument.format(real=real, fake=fake) for argument in arguments]
    code = 5 if "missing.npz" in given[0] else 2
    assert message in refused(capsys, code, *given)


def test_a_name_of_both_a_dataset_and_a_folder_is_ambiguous(
    clothes: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "fashion-mnist-mini", clothes[:20])
    monkeypatch.chdir(tmp_path)
    assert "is both a dataset and a folder" in refused(
        capsys, 2, "fashion-mnist-mini", "fashion-mnist-mini@test", *SMALL
    )
    assert measure(capsys, "fashion-mnist-mini@test", "./fashion-mnist-mini", *SMALL)["fake"]["n"] == 20


@pytest.mark.slow
def test_a_trained_cell_is_sampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(*TINY, "--models", "gan", "--set", "gan.width=8", out=tmp_path / "run")
    assert done.code == 0, done.err
    assert "which has several cells" in refused(capsys, 2, "fashion-mnist-mini", done.run, *SMALL)
    assert "No cell" in refused(capsys, 2, "fashion-mnist-mini@test", f"{done.run}:vae", *SMALL)
    sides = ("fashion-mnist-mini@test", f"{done.run}:gan", *SMALL, "--batch-size", "200")
    first = measure(capsys, *sides)
    assert first["fake"]["n"] == 16  # as many as the run drew
    ones = [measure(capsys, *sides, "--samples", "40", "--seed", seed)["estimates"][0] for seed in (1, 1, 2)]
    assert ones[0] == ones[1]
    assert ones[0]["value"] != ones[2]["value"]
    assert ones[0]["n"] == 40
    (cell,) = RunDirectory(done.run).record.cells
    assert cell.id in first["fake"]["title"]


def test_the_text_shows_error_and_protocol_of_the_result(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["fid", *map(str, folders), *SMALL]) == 0
    out = capsys.readouterr().out
    assert f"real  folder {folders[0]}: 150 images, 1×28×28" in out
    assert "fd-fashion-cnn ↓" in out
    assert "±" in out
    assert "debiased" in out
    assert "weights_sha256" in out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """Peak memory of a separate process, with ten times as many images and wide features."""
    peaks = [_peak(tmp_path, n) for n in (2_000, 20_000)]
    assert peaks[1] < 1.1 * peaks[0]


def _peak(folder: Path, n: int) -> float:
    import subprocess
    import sys

    (folder / "wide.py").write_text(WIDE)
    for name in ("a", "b"):
        images = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
        np.save(folder / f"{name}.npy", images)
    sides = [str(folder / f"{name}.npy") for name in ("a", "b")]
    code = (
        "import re, sys; from genbench.cli import invoke; "
        f"code = invoke(['fid', *{sides!r}, '--extractor', 'wide', '--plugin', {str(folder / 'wide.py')!r}]); "
        # not ru_maxrss: a new program inherits that from the process that started it
        r"print(code, re.search(r'VmHWM:\s+(\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    status, peak = done.stderr.splitlines()[-1].split()
    assert status == "0", done.stderr
    return float(peak)


WIDE = """
import genbench
import torch


class Wide:
    name, whiten, protocol = "fd-wide", False, {}
    projection = torch.randn(768, 512, generator=torch.Generator().manual_seed(0))

    def __call__(self, pixels):
        return (pixels.flatten(1).float() / 255) @ self.projection


@genbench.hookimpl
def genbench_extractors():
    yield genbench.ExtractorSpec(name="wide", load=lambda device: Wide())
"""
