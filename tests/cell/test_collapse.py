"""When a generator is considered collapsed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import warm
from torch import Tensor

from genbench.api.images import Images
from genbench.cell.collapse import (
    JUDGED_FROM,
    MODES_JUDGED_FROM,
    median_nearest_distance,
    posterior_collapse,
    signs_of_collapse,
)
from genbench.data.loading import LoadedData
from genbench.sampling.sampler import Drawn


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


DATA = LoadedData(noise(200), None, noise(5), None, 0, "", ())
ALIKE = noise(1).repeat(40, 1, 1, 1)


def signs(samples: Tensor, images_seen: int, identical: bool = False) -> str:
    return signs_of_collapse(Drawn(Images(samples), None, identical), DATA, images_seen)


def test_early_in_training_only_bitwise_identical_samples_are_a_collapse() -> None:
    # the bytes agree, but before rounding the samples differed: an untrained network, not a collapsed one
    assert not signs(ALIKE, images_seen=10)
    assert signs(ALIKE, images_seen=10, identical=True)


def test_a_trained_generator_is_judged_by_how_little_its_samples_differ() -> None:
    assert "almost identical" in signs(ALIKE, images_seen=JUDGED_FROM)
    assert not signs(noise(40, seed=1), images_seen=JUDGED_FROM)


def test_a_generator_that_repeats_a_few_images_has_collapsed_even_if_they_differ_as_much_as_the_data() -> None:
    pictures = noise(8, seed=2)
    chosen = torch.randint(8, (200,), generator=torch.Generator().manual_seed(3))
    wobble = torch.randint(0, 2, (200, 1, 8, 8), generator=torch.Generator().manual_seed(4)).to(torch.uint8)
    repeated = (pictures[chosen].clamp(max=254) + wobble).to(torch.uint8)
    assert "repeat a few images" in signs(repeated, images_seen=JUDGED_FROM)


def test_samples_that_are_close_variations_of_the_data_have_not_collapsed() -> None:
    softened = (DATA.train_pixels.float() * 0.5 + 64).to(torch.uint8)
    assert not signs(softened, images_seen=JUDGED_FROM)


def test_the_nearest_distance_of_points_on_a_line() -> None:
    pixels = torch.tensor([0, 3, 10, 100], dtype=torch.uint8).reshape(4, 1, 1, 1)
    assert median_nearest_distance(pixels) == 3.0  # 3, 3, 7, 90: the lower of the two middle ones


def test_samples_in_one_known_mode_are_a_collapse_however_much_they_differ() -> None:
    def of(found: int, known: int, images_seen: int = MODES_JUDGED_FROM) -> str:
        drawn = Drawn(Images(noise(40, seed=1)), None, identical=False)
        return signs_of_collapse(drawn, DATA, images_seen, modes=(found, known))

    assert "in 1 of 8 modes" in of(1, 8)
    assert "in 50 of 1,000 modes" in of(50, 1000)
    assert not of(2, 8)
    assert not of(51, 1000)
    assert "in none of 8 modes" in of(0, 8)  # a clump beside all modes
    assert not of(1, 1)
    assert not of(0, 8, images_seen=MODES_JUDGED_FROM - 1)
    assert not of(1, 8, images_seen=MODES_JUDGED_FROM - 1)


def test_a_posterior_that_ignores_the_images_is_a_collapse_of_the_posterior() -> None:
    rng = torch.Generator().manual_seed(5)
    ignoring = 0.05 * torch.randn(300, 20, generator=rng)  # variance 0.0025, below the threshold of 0.01
    one_active = torch.cat([torch.randn(300, 1, generator=rng), ignoring[:, 1:]], 1)
    assert "none of the 20 latents is active" in posterior_collapse(ignoring, JUDGED_FROM)
    assert not posterior_collapse(one_active, JUDGED_FROM)
    assert not posterior_collapse(ignoring, JUDGED_FROM - 1)
    assert not posterior_collapse(ignoring[:1], JUDGED_FROM)


@pytest.mark.slow
def test_a_vae_with_a_huge_beta_says_that_its_posterior_has_collapsed(tmp_path: Path) -> None:
    common = (
        "--models",
        "vae",
        "--set",
        "vae.hidden=16",
        "--profile",
        "smoke",
        "--images",
        "10000",
        "--metrics",
        "none",
    )
    for beta, expected in ((1, 0), (1000, 1)):
        done = warm.run(*common, "--threads", "1", "--set", f"elbo.beta={beta}", out=tmp_path / f"run-{beta}")
        (cell,) = done.run_cells
        assert cell.status == "ok"
        assert sum(note.startswith("posterior collapse: ") for note in cell.notes) == expected
