"""The timm extractors: with a tiny randomly initialised network if timm is installed, and their errors without."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import genbench_vision_features
import pytest
import torch
from genbench_vision_features import networks
from genbench_vision_features.networks import NETWORKS, Network, VisionExtractor, load_timm, weights_hash
from torch import Tensor

from genbench import Extractor, ExtractorUnavailable
from genbench.api.specs import resolve
from genbench.testing import conformance

CPU = torch.device("cpu")
TINY = "test_vit.r160_in1k"  # 0.3 million parameters, 64 features
needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in place of the published one."""
    timm = pytest.importorskip("timm")
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(TINY, pretrained=False)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture
def extractor(weights: Path, monkeypatch: pytest.MonkeyPatch) -> VisionExtractor:
    monkeypatch.setenv("GENBENCH_TIMM_MODEL", TINY)
    monkeypatch.setenv("GENBENCH_TIMM_WEIGHTS", str(weights))
    return load_timm(CPU)


def noise(n: int, channels: int, height: int, width: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, channels, height, width), generator=rng, dtype=torch.uint8)


def test_every_spec_leads_to_a_loader_and_none_is_used_by_default() -> None:
    specs = {spec.name: spec for spec in genbench_vision_features.genbench_extractors()}
    assert specs.keys() == {*NETWORKS, "timm"}
    for name, spec in specs.items():
        assert callable(resolve(spec.load))
        assert (spec.metric, spec.default) == (f"fd-{name}", False)


@needs_timm
def test_every_named_network_is_known_to_timm_with_published_weights() -> None:
    import timm

    for network in NETWORKS.values():
        assert timm.is_model(network.model.split(".")[0])
        assert network.model in timm.list_models(pretrained=True)


OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}


@needs_timm
def test_the_network_of_cmmd_is_vit_l14_at_336_pixels_as_openai_published_it() -> None:
    """Without weights: architecture and input as in the paper (Radford et al., 2021, table 20)."""
    import timm

    about = NETWORKS["clip-vit-l14-336"]
    with torch.device("meta"):
        network = timm.create_model(about.model, pretrained=False)
    assert (len(network.blocks), network.embed_dim, network.num_classes) == (24, 1024, 768)
    assert network.patch_embed.proj.kernel_size == (14, 14)
    assert type(network.blocks[0].mlp.act).__name__ == "QuickGELU"
    config = timm.data.resolve_model_data_config(network)
    assert config["input_size"] == (3, 336, 336)
    assert config["interpolation"] == "bicubic"
    assert (config["mean"], config["std"]) == (OPENAI["mean"], OPENAI["std"])


def test_images_for_cmmd_are_resized_as_pillow_does_and_normalised_as_openai_says() -> None:
    """The authors resize 8-bit images with Pillow; here they are not rounded to 8 bits again."""
    import numpy as np
    from PIL import Image

    config = {"input_size": (3, 336, 336), "interpolation": "bicubic", **OPENAI}
    loaded = VisionExtractor(torch.nn.Flatten(), NETWORKS["clip-vit-l14-336"], config, CPU)
    assert loaded.name == "fd-clip-vit-l14-336"
    for size in (64, 500):
        pixels = noise(1, 3, size, size) // 2 + 64  # Pillow clips after each of its two passes: nothing to clip here
        resized = Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).resize((336, 336), Image.Resampling.BICUBIC)
        levels = torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1)[None].float() / 255
        mean, deviation = (torch.tensor(OPENAI[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
        apart = (loaded.prepare(pixels) - (levels - mean) / deviation) * deviation
        assert (
            apart.abs().max() < 1.25 / 255
        )  # Pillow rounds after each pass, and the second spreads the first's rounding


@needs_timm
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 48), (3, 160, 160)])
def test_images_of_any_size_and_colour_have_features(extractor: VisionExtractor, shape: tuple[int, int, int]) -> None:
    given: Extractor = extractor
    features = given(noise(3, *shape))
    assert (features.shape, features.dtype) == ((3, 64), torch.float32)
    assert bool(features.isfinite().all())


@needs_timm
def test_features_are_those_of_the_network_on_images_normalised_as_its_config_says(
    extractor: VisionExtractor, weights: Path
) -> None:
    import timm
    from safetensors.torch import load_file

    network = timm.create_model(TINY, pretrained=False)
    network.load_state_dict(load_file(weights))
    network.reset_classifier(0)
    pixels = noise(40, 3, 160, 160)  # more than one chunk
    expected = network.eval()((pixels.float() / 255 - 0.5) / 0.5)
    torch.testing.assert_close(extractor(pixels), expected, rtol=1e-4, atol=1e-5)


@needs_timm
def test_grey_is_repeated_and_values_stay_in_the_range_after_enlarging(extractor: VisionExtractor) -> None:
    grey = noise(2, 1, 28, 28)
    torch.testing.assert_close(extractor.prepare(grey), extractor.prepare(grey.expand(-1, 3, -1, -1)))
    assert extractor.prepare(grey).abs().max() <= 1  # bicubic overshoots; pixels cannot


@needs_timm
def test_a_network_may_receive_a_size_other_than_its_own(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_TIMM_WEIGHTS", str(weights))
    smaller = networks.load(CPU, Network("timm", TINY, size=96))
    assert smaller.prepare(noise(1, 3, 160, 160)).shape[-2:] == (96, 96)
    assert smaller(noise(2, 3, 160, 160)).shape == (2, 64)


@needs_timm
def test_the_name_contains_the_model_and_the_protocol_the_weights(extractor: VisionExtractor) -> None:
    assert extractor.name == f"fd-timm-{TINY}"
    assert extractor.protocol["weights_sha256"] == weights_hash(extractor.network)[:16]
    assert extractor.protocol["resize"] == "160x160, bicubic with antialias, no crop"
    with torch.no_grad():
        next(iter(extractor.network.parameters())).add_(1)
    assert extractor.protocol["weights_sha256"] != weights_hash(extractor.network)[:16]


@needs_timm
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "GENBENCH_TIMM_WEIGHTS names .* not a file"),
        (b"broken", "replace the file that GENBENCH_TIMM_WEIGHTS names"),
    ],
)
def test_missing_or_damaged_weights_are_reported(
    content: bytes | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("GENBENCH_TIMM_MODEL", TINY)
    monkeypatch.setenv("GENBENCH_TIMM_WEIGHTS", str(path))
    with pytest.raises(ExtractorUnavailable, match=reason):
        load_timm(CPU)


@needs_timm
def test_without_file_and_network_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", refuse)
    monkeypatch.delenv("GENBENCH_DINOV2_SMALL_WEIGHTS", raising=False)
    with pytest.raises(ExtractorUnavailable, match=r"no route to the hub.*GENBENCH_DINOV2_SMALL_WEIGHTS"):
        networks.load_dinov2_small(CPU)


def test_without_timm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # an import of it fails
    with pytest.raises(ExtractorUnavailable, match="pip install timm"):
        networks.load_clip_vit_b32(CPU)


def test_without_a_model_the_error_says_which_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENBENCH_TIMM_MODEL", raising=False)
    with pytest.raises(ExtractorUnavailable, match="GENBENCH_TIMM_MODEL is not set"):
        load_timm(CPU)


def test_listing_the_extractors_imports_neither_torch_nor_timm() -> None:
    code = (
        "import sys, genbench_vision_features as g; list(g.genbench_extractors());"
        "sys.exit(', '.join({'torch', 'numpy', 'timm'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


test_conformance = conformance("genbench-vision-features", only=["documented"])  # the others would download weights
test_conformance_with_random_weights = needs_timm(
    pytest.mark.usefixtures("extractor")(conformance("timm", skip=["documented"]))
)
