"""`genbench fid` with metrics and extractors of plugins: what needs two sets of images only is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import warm

METRICS = str(Path(__file__).parents[1] / "support" / "metric_plugin.py")
EXTRACTOR = """
import genbench

class Rows:
    name, protocol, whiten = "fd-rows", {"rows": 4}, False

    def __call__(self, pixels):
        return pixels.float().mean((1, 3))[:, :4]

@genbench.hookimpl
def genbench_extractors():
    yield genbench.ExtractorSpec(name="rows", load=lambda device: Rows())
"""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(0)
    for name, highest in (("real", 256), ("fake", 128)):
        np.save(folder / f"{name}.npy", rng.integers(0, highest, (60, 12, 12), dtype=np.uint8))
    (folder / "rows.py").write_text(EXTRACTOR)
    return str(folder / "real.npy"), str(folder / "fake.npy")


def plugins(sets: tuple[str, str]) -> tuple[str, ...]:
    return ("--plugin", METRICS, "--plugin", str(Path(sets[0]).with_name("rows.py")), "--device", "cpu")


def measure(*arguments: str) -> dict[str, Any]:
    done = warm.command("fid", *arguments, "--json")
    assert done.returncode in (0, 5), done.stderr
    return {**json.loads(done.stdout), "code": done.returncode}


def test_metrics_of_features_and_of_pixels_and_extractors_of_plugins(sets: tuple[str, str]) -> None:
    names = "scatter,fd,contrast,brightness,scatter-fashion-cnn,diversity"
    found = measure(*sets, "--metrics", names, "--extractor", "rows", "--set", "scatter.order=2", *plugins(sets))
    values = {estimate["metric"]: estimate for estimate in found["estimates"]}
    assert found["code"] == 0
    assert list(values) == ["scatter-rows", "fd-rows", "contrast", "brightness", "scatter-fashion-cnn", "diversity"]
    real, fake = (np.load(path).astype(float) for path in sets)
    assert values["brightness"]["value"] == pytest.approx(fake.mean(), rel=1e-5)
    assert values["contrast"]["value"] == pytest.approx(fake.std(ddof=1) / real.std(ddof=1), rel=1e-5)
    assert values["diversity"]["value"] == pytest.approx((fake.var(0).sum() / real.var(0).sum()) ** 0.5, rel=0.02)
    assert values["scatter-rows"]["protocol"]["order"] == 2.0
    assert [found[side]["n"] for side in ("real", "fake")] == [60, 60]


def test_pixels_alone_need_no_extractor_and_a_failure_costs_only_its_metric(sets: tuple[str, str]) -> None:
    found = measure(*sets, "--metrics", "brightness,crash,misnamed", *plugins(sets))
    assert [estimate["metric"] for estimate in found["estimates"]] == ["brightness"]
    assert [missing["metric"] for missing in found["unavailable"]] == ["crash", "misnamed"]
    assert "(metric_plugin.py, line 32)" in found["unavailable"][0]["reason"]
    assert (found["code"], found["real"]["n"], found["real"]["image_shapes"]) == (5, 60, ["1×12×12"])


def test_pixels_of_several_sizes_or_of_statistics_are_not_available(sets: tuple[str, str], tmp_path: Path) -> None:
    from PIL import Image

    for number, size in enumerate((8, 8, 9)):
        Image.new("L", (size, size), 40 * number).save(tmp_path / f"{number}.png")
    found = measure(sets[0], str(tmp_path), "--metrics", "brightness,scatter-fashion-cnn", *plugins(sets))
    assert [estimate["metric"] for estimate in found["estimates"]] == ["scatter-fashion-cnn"]
    assert "it needs images of one size, but folder" in found["unavailable"][0]["reason"]
    stats = str(tmp_path / "stats.npz")
    saved = warm.command("fid", sets[0], "--save-stats", stats, "--extractor", "fashion-cnn", "--device", "cpu")
    assert saved.returncode == 0, saved.stderr
    found = measure(stats, sets[1], "--metrics", "contrast,scatter,fd", "--extractor", "fashion-cnn", *plugins(sets))
    assert [estimate["metric"] for estimate in found["estimates"]] == ["scatter-fashion-cnn", "fd-fashion-cnn"]
    assert "the first image set consists of statistics" in found["unavailable"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--metrics", "sharpness"), "'sharpness' cannot be measured between two image sets: it needs reconstructions"),
        (("--metrics", "scatter", "--set", "scatter.x=1"), "Unknown option scatter.x"),
        (("--metrics", "brightness", "--extractor", "rows"), "No metric uses --extractor rows"),
        (("--metrics", "brightness", "--save-stats", "out.npz"), "--save-stats stores the features of one extractor"),
    ],
)
def test_what_cannot_be_measured_is_refused(sets: tuple[str, str], arguments: tuple[str, ...], said: str) -> None:
    done = warm.command("fid", *sets, *arguments, *plugins(sets))
    assert done.returncode == 2
    assert said in done.stderr
