"""pythae's models in genbench, compared with pythae itself: options, losses, gradients, and a run."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import genbench_pythae
import pytest
import torch
import warm
from torch import Tensor, nn

import genbench

if importlib.util.find_spec("pythae") is None or importlib.util.find_spec("pydantic") is None:
    pytest.skip("pythae is not installed", allow_module_level=True)

import pythae.models
from genbench_pythae import configs
from genbench_pythae.catalogue import BY_NAME, WRAPPED
from genbench_pythae.configs import option_class
from genbench_pythae.family import Autoencoder, LatentAutoencoder, create
from genbench_pythae.latents import FittedGaussian
from genbench_pythae.torch_overrides import TorchOverrides

SPECS = {spec.name: spec for spec in genbench_pythae.genbench_models()}
SHAPE = (1, 8, 8)
NAMES = sorted(SPECS)

# At 28 × 28 greyscale pixels and the default options; 784-512, 512-10 (twice if there is a variance), 10-512, 512-784
ENCODER, HEAD, DECODER = 784 * 512 + 512, 512 * 10 + 10, 10 * 512 + 512 + 512 * 784 + 784
AE, VAE = ENCODER + HEAD + DECODER, ENCODER + 2 * HEAD + DECODER
PARAMETERS = {
    **{name: {"autoencoder": VAE} for name in NAMES},
    "pythae-ae": {"autoencoder": AE, "prior": 0},
    "pythae-wae-mmd": {"autoencoder": AE},
    "pythae-rae-l2": {"autoencoder": AE, "prior": 0},
    "pythae-vq-vae": {"autoencoder": AE + 512, "prior": 0},
    "pythae-factor-vae": {"autoencoder": VAE, "discriminator": 11_000 + 4 * 1_001_000 + 2_002},
    "pythae-adversarial-ae": {"autoencoder": VAE, "discriminator": 11 * 256 + 257},
    "pythae-piwae": {"autoencoder": VAE - DECODER, "decoder": DECODER},
    "pythae-vamp": {"autoencoder": VAE + 51 * 784},
    "pythae-vae-lin-nf": {"autoencoder": VAE + 2 * 21},
    "pythae-vae-iaf": {"autoencoder": VAE + 2 * 37_012},
}


def make(name: str, seed: int = 0, shape: genbench.Shape = SHAPE, **options: Any) -> Autoencoder:
    """Return a model of 4 latents, ready to train on the CPU."""
    spec = SPECS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = spec.build(shape, 4, 0, spec.make_options({o.name: o.default for o in spec.option_schema} | options))
    recipe = {"precision": "fp32", "images": 1000}
    device = torch.device("cpu")
    return create(genbench.Setup(networks, None, spec, 4, 0, recipe, device, train_size=100))


def batch(seed: int = 0, count: int = 16, progress: float = 0.5) -> genbench.Batch:
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(count, *SHAPE, generator=rng)
    return genbench.Batch(images, None, rng, True, {}, torch.tensor(progress))


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad for p in network.parameters() if p.grad is not None]


def update(family: Autoencoder, given: genbench.Batch) -> dict[str, genbench.Objective]:
    """Run each phase as genbench's engine does, without an optimiser."""
    found = {}
    networks = family.setup.networks
    for phase in family.phases():
        for name in phase.frozen:
            networks[name].requires_grad_(False)
        found[phase.name] = phase.objective(given)
        found[phase.name].total.backward()
        for name in phase.frozen:
            networks[name].requires_grad_(True)
    return found


def test_options_are_the_fields_of_pythaes_configs_with_their_defaults() -> None:
    for wrapped in WRAPPED:
        config = getattr(pythae.models, wrapped.config)(input_dim=SHAPE)
        for option in SPECS[wrapped.name].option_schema:
            assert getattr(config, option.name) == option.default, (wrapped.name, option.name)
        known = {field.name for field in dataclasses.fields(config) if not field.name.startswith("uses_default")}
        offered = {option.name for option in SPECS[wrapped.name].option_schema}
        left = {"name", "input_dim", "latent_dim", "discriminator_input_dim", *wrapped.without}
        assert known - left == offered
        assert SPECS[wrapped.name].latent_dim == config.latent_dim


def test_options_have_types_and_the_help_of_the_docstrings() -> None:
    schema = {option.name: option for option in SPECS["pythae-info-vae"].option_schema}
    assert schema["kernel_choice"].choices == ("rbf", "imq")
    assert (schema["scales"].type, schema["scales"].optional) == ("list[float]", True)
    assert (schema["alpha"].type, schema["alpha"].default) == ("float", 0.0)
    beta = next(option for option in SPECS["pythae-beta-vae"].option_schema if option.name == "beta")
    assert beta.help == "The balancing factor"


def test_the_specs_are_made_without_importing_torch_or_pythae() -> None:
    program = (
        "import sys, genbench_pythae as p; list(p.genbench_models()); list(p.genbench_families());"
        "sys.exit(bool({'torch', 'pythae', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_parameter_counts(name: str) -> None:
    spec = SPECS[name]
    options = spec.make_options({option.name: option.default for option in spec.option_schema})
    networks = spec.build((1, 28, 28), spec.latent_dim, 0, options)
    assert {key: sum(p.numel() for p in n.parameters()) for key, n in networks.items()} == PARAMETERS[name]


def test_noise_is_the_same_in_both_precisions() -> None:
    # torch's own draws of the two types differ from the same seed, and a rounding error would look like another draw
    drawn = []
    for dtype in (torch.float32, torch.bfloat16):
        with TorchOverrides(torch.Generator().manual_seed(0)):
            drawn.append(torch.randn_like(torch.zeros(4, 10, dtype=dtype)))
    assert drawn[1].dtype == torch.bfloat16
    assert torch.equal(drawn[0].to(torch.bfloat16), drawn[1])


@pytest.mark.parametrize("name", NAMES)
def test_each_model_learns_samples_and_reconstructs(name: str) -> None:
    family, before = make(name), torch.get_rng_state()
    objectives = update(family, batch())
    assert torch.equal(torch.get_rng_state(), before), "noise came from the global generator"
    assert all(bool(o.total.isfinite()) and o.total.ndim == 0 for o in objectives.values())
    assert all(term.ndim == 0 for o in objectives.values() for term in o.terms.values())
    for player, network in family.setup.networks.items():
        untouched = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
        assert not untouched, player
    with torch.inference_mode():
        images, rng = batch().images, torch.Generator().manual_seed(1)
        for network in family.setup.networks.values():
            network.eval()
        generated, reconstructed = family.sample(5, rng), family.reconstruct(images)
        assert torch.equal(family.reconstruct(images), reconstructed)
    assert (generated.shape, reconstructed.shape) == ((5, *SHAPE), images.shape)
    for images in (generated, reconstructed):
        assert (float(images.min()) >= 0, float(images.max()) <= 1) == (True, True)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_loss_and_another_seed_another(name: str) -> None:
    first, again = (update(make(name), batch(count=8))[make(name).players[0]].total for _ in range(2))
    assert torch.equal(first, again)
    given = batch(count=8)
    given.rng.manual_seed(99)
    other = update(make(name), given)[make(name).players[0]].total
    assert torch.equal(first, other) == (name in ("pythae-ae", "pythae-rae-l2", "pythae-vq-vae"))  # no noise in these


def test_the_loss_of_the_vae_is_that_of_pythaes_own_trainer(tmp_path: Path) -> None:
    trainers = pytest.importorskip("pythae.trainers")
    from pythae.data.datasets import BaseDataset

    family, seen = make("pythae-vae"), []
    twin = pythae.models.VAE(pythae.models.VAEConfig(input_dim=SHAPE, latent_dim=4))
    twin.load_state_dict(family.model.state_dict())
    twin.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0]["data"].clone(), torch.get_rng_state())))
    images = batch().images
    config = trainers.BaseTrainerConfig(
        output_dir=str(tmp_path), num_epochs=1, per_device_train_batch_size=16, no_cuda=True, learning_rate=1e-3
    )
    with torch.random.fork_rng():
        trainer = trainers.BaseTrainer(twin, BaseDataset(images, torch.zeros(16)), training_config=config)
        trainer.prepare_training()
        pythaes_loss = trainer.train_step(1)
    (shown, state) = seen[-1]
    rng = torch.Generator()
    rng.set_state(state)
    (phase,) = family.phases()
    objective = phase.objective(genbench.Batch(shown, None, rng, True, {}, torch.tensor(0.0)))
    assert float(objective.total.detach()) == pytest.approx(pythaes_loss, rel=1e-6)
    optimizer = torch.optim.Adam(family.model.parameters(), lr=1e-3)
    objective.total.backward()
    optimizer.step()
    for mine, theirs in zip(family.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_loss_of_the_vae_is_half_the_squared_error_and_the_divergence() -> None:
    family, given = make("pythae-vae"), batch()
    objective = family.objective("loss", given)
    encoded = family.model.encoder(given.images)
    noise = torch.randn(16, 4, generator=batch_after_images())
    decoded = family.decode(encoded.embedding + (encoded.log_covariance / 2).exp() * noise)
    error = 0.5 * (decoded - given.images).square().sum((1, 2, 3)).mean()
    mean, log_variance = encoded.embedding, encoded.log_covariance
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
    torch.testing.assert_close(objective.total, error + kl)
    torch.testing.assert_close(objective.terms["reconstruction"], error)
    torch.testing.assert_close(objective.terms["regularisation"], kl)


def batch_after_images() -> torch.Generator:
    """The generator of `batch()`, where its images have been drawn."""
    return batch().rng


@pytest.mark.parametrize("name", [name for name in NAMES if len(BY_NAME[name].players) > 1])
def test_no_loss_reaches_another_players_network(name: str) -> None:
    family = make(name)
    networks = family.setup.networks
    for phase in family.phases():
        for network in networks.values():
            network.zero_grad(set_to_none=True)
        for other in phase.frozen:
            networks[other].requires_grad_(False)
        phase.objective(batch()).total.backward()
        assert gradients(networks[phase.networks[0]])
        for other in phase.frozen:
            assert not gradients(networks[other])
            networks[other].requires_grad_(True)


def test_in_pythae_itself_the_loss_of_factor_vaes_discriminator_reaches_the_encoder() -> None:
    theirs = pythae.models.FactorVAE(pythae.models.FactorVAEConfig(input_dim=SHAPE, latent_dim=4))
    theirs({"data": batch().images}).discriminator_loss.backward()
    assert gradients(theirs.encoder), "pythae has fixed this: update the README"


def test_weights_that_another_player_trains_are_used_by_the_autoencoder() -> None:
    family = make("pythae-factor-vae", gamma=2.0)
    before = family.objective("autoencoder_loss", batch()).total
    with torch.no_grad():
        family.setup.networks["discriminator"].layers[-1].bias[0] += 1
    torch.testing.assert_close(family.objective("autoencoder_loss", batch()).total - before, torch.tensor(2.0))


def test_the_decay_of_rae_l2_is_the_gradient_of_adams() -> None:
    plain, decayed = make("pythae-rae-l2", reg_weight=0.0), make("pythae-rae-l2", reg_weight=0.1)
    for family in (plain, decayed):
        update(family, batch())
    for without, with_it in zip(plain.model.decoder.parameters(), decayed.model.decoder.parameters(), strict=True):
        torch.testing.assert_close(with_it.grad, without.grad + 0.1 * without.detach())
    for without, with_it in zip(plain.model.encoder.parameters(), decayed.model.encoder.parameters(), strict=True):
        torch.testing.assert_close(with_it.grad, without.grad)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 1 / 3), (0.15, 2 / 3), (0.25, 1.0), (0.9, 1.0)])
def test_the_capacity_rises_by_the_epoch(progress: float, share: float) -> None:
    family = make("pythae-disentangled-beta-vae", warmup_epoch=2, C=30.0, beta=1.0)  # 10 epochs: 1000 of 100 images
    found = family.objective("loss", batch(count=1, progress=progress))
    expected = found.terms["reconstruction"] + (found.terms["regularisation"] - 30 * share).abs()
    torch.testing.assert_close(found.total, expected)


def test_a_fitted_gaussian_has_the_moments_of_the_latents() -> None:
    rng = torch.Generator().manual_seed(0)
    mixing = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    latents = torch.randn(4000, 2, generator=rng) @ mixing.T + torch.tensor([3.0, -1.0])
    prior = FittedGaussian(2)
    prior.observe(latents)
    drawn = prior.draw(20_000, rng)
    torch.testing.assert_close(drawn.mean(0), torch.tensor([3.0, -1.0]), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), mixing @ mixing.T, atol=0.3, rtol=0)


def test_the_vq_vae_reconstructs_as_pythae_does_and_draws_codes_only() -> None:
    family, images = make("pythae-vq-vae"), batch().images
    family.model.eval()
    torch.testing.assert_close(family.reconstruct(images), family.model.reconstruct(images))
    codes = family.model.quantizer.embeddings.weight
    distances = family.draw(6, torch.Generator().manual_seed(0))[..., None] - codes.flatten()
    assert float(distances.detach().abs().amin(-1).max()) < 1e-6


def test_only_models_with_a_normal_prior_can_be_interpolated() -> None:
    for name in NAMES:
        assert isinstance(make(name), genbench.LatentFamily) == (BY_NAME[name].latents == "normal")
    assert isinstance(make("pythae-vae"), LatentAutoencoder)


@pytest.mark.parametrize("name", ["pythae-vae", "pythae-adversarial-ae", "pythae-iwae"])
def test_binary_cross_entropy_is_computed_in_fp32_under_autocast(name: str) -> None:
    family = make(name, reconstruction_loss="bce")
    expected = family.phases()[0].objective(batch()).total
    with torch.autocast("cpu", torch.bfloat16):
        found = family.phases()[0].objective(batch()).total
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)


def test_without_pythae_the_reason_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "find_spec", lambda _: None)
    with pytest.raises(genbench.GenbenchError, match="pythae is not installed"):
        configs.config_classes.__wrapped__()


def test_the_readme_names_every_model_with_its_parameters() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for wrapped in WRAPPED:
        counts = " and ".join(f"{n:,}" for n in PARAMETERS[wrapped.name].values() if n)
        counts = f"{VAE:,}" if wrapped.name == "pythae-piwae" else counts
        assert f"| `{wrapped.name}` | `{wrapped.model}` | {counts} |" in readme


def test_a_config_that_pythae_lacks_is_reported_as_missing() -> None:
    with pytest.raises(genbench.GenbenchError, match="has no NoSuchConfig"):
        option_class("NoSuchConfig")


def test_a_run_with_a_built_in_model_and_its_resumption(tmp_path: Path) -> None:
    out = tmp_path / "run"
    models = ["--models", "pythae-factor-vae,vae", "--images", "640"]
    command = ["run", *models, "--profile", "smoke"]
    command += ["--metrics", "reconstruction-mse", "--out", str(out)]
    done = warm.command(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = {json.loads(f.read_text())["identity"]["model"]["name"]: f for f in (out / "cells").glob("*.json")}
    assert cells.keys() == {"pythae-factor-vae", "vae"}
    cell = json.loads(cells["pythae-factor-vae"].read_text())
    assert cell["status"] == "ok"
    assert cell["identity"]["model"]["options"]["gamma"] == 2.0
    cells["pythae-factor-vae"].unlink()
    again = warm.command("run", "--resume", str(out))
    assert again.returncode == 0, again.stdout + again.stderr
    repeated = json.loads(cells["pythae-factor-vae"].read_text())
    for estimates in (cell["estimates"], repeated["estimates"]):
        assert [e["metric"] for e in estimates] == ["reconstruction-mse"]
    assert repeated["estimates"][0]["value"] == cell["estimates"][0]["value"]
