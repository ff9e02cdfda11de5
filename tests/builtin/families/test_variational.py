"""The variational family: the input of a loss, for any settings, and what is trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import genbench
from genbench.api.specs import resolve
from genbench.builtin.families import genbench_families
from genbench.builtin.families.variational import Variational
from genbench.builtin.losses.variational import ElboOptions, IWAEOptions, WAEOptions
from genbench.builtin.losses.variational.bounds import elbo, iwae
from genbench.builtin.losses.variational.discrepancy import wae_mmd

CPU = torch.device("cpu")
SHAPE = (3, 4, 4)
SPEC = genbench.ModelSpec(
    name="tiny", family="variational", build=dict, default_loss="elbo", value_range=(0.0, 1.0), output="logits"
)


class Encoder(nn.Module):
    def __init__(self, latent_dim: int = 2, log_variance: float | None = None, classes: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.mean = nn.Linear(48 + classes, latent_dim)
        self.log_variance = nn.Linear(48 + classes, latent_dim)
        self.classes = classes
        if log_variance is not None:
            nn.init.zeros_(self.log_variance.weight)
            nn.init.constant_(self.log_variance.bias, log_variance)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features = self.norm(images).flatten(1)
        if labels is not None:
            features = torch.cat([features, nn.functional.one_hot(labels, self.classes)], 1)
        return self.mean(features), self.log_variance(features)


class Decoder(nn.Module):
    """Records the labels that it receives."""

    def __init__(self, end: nn.Module | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 48), nn.Unflatten(1, SHAPE), end or nn.Identity())
        self.labels: Tensor | None = None

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.labels = labels
        return self.body(latents)  # type: ignore[no-any-return]


class RecordingLoss:
    """A loss that records its input."""

    def __init__(self, **settings: Any) -> None:
        self.loss = genbench.VariationalLoss(self.objective, **settings)
        self.heard: list[genbench.Posterior] = []

    def objective(self, posterior: genbench.Posterior) -> genbench.Objective:
        self.heard.append(posterior)
        return genbench.Objective(posterior.logits.square().mean() + posterior.mean.square().mean(), {})


def family(
    loss: genbench.VariationalLoss,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
    precision: str = "fp32",
    **spec: Any,
) -> Variational:
    torch.manual_seed(0)
    networks = {"encoder": encoder or Encoder(), "decoder": decoder or Decoder()}
    if loss.module is not None:
        networks["loss"] = loss.module
    model = dataclasses.replace(SPEC, **spec)
    recipe = {"precision": precision}
    return Variational(genbench.Setup(networks, loss, model, 2, 10, recipe, CPU, train_size=77))


def batch(count: int = 5, labels: Tensor | None = None, seed: int = 0, **settings: Any) -> genbench.Batch:
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(count, *SHAPE, generator=rng)
    return genbench.Batch(images, labels, rng, True, {}, **settings)


def hear(given: genbench.Batch | None = None, **settings: Any) -> genbench.Posterior:
    options = {key: settings.pop(key) for key in ("samples", "deterministic", "uses_prior") if key in settings}
    recording = RecordingLoss(**options)
    family(recording.loss, **settings).objective(given or batch())
    return recording.heard[0]


def test_each_image_has_as_many_latents_as_the_loss_requests() -> None:
    sure = Encoder(log_variance=-40.0)  # draws lie on their means
    heard = hear(samples=3, encoder=sure)
    assert heard.latents.shape == (15, 2)
    assert heard.logits.shape == (15, *SHAPE)
    torch.testing.assert_close(heard.latents, heard.mean.repeat(3, 1))
    apart = hear(samples=3, encoder=Encoder(log_variance=0.0)).latents.view(3, 5, 2)
    assert not torch.equal(apart[0], apart[1])


def test_latents_have_the_moments_of_the_posterior() -> None:
    encoder = Encoder()
    encoder.log_variance.weight.data.mul_(3)  # images differ in their variances
    heard = hear(batch(2), samples=20_000, encoder=encoder)
    assert float((heard.log_variance[0] - heard.log_variance[1]).abs().min().detach()) > 0.2
    latents = heard.latents.view(20_000, 2, 2)
    torch.testing.assert_close(latents.mean(0), heard.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(latents.var(0).log(), heard.log_variance, atol=0.05, rtol=0)


def test_the_labels_of_a_conditional_model_follow_its_draws() -> None:
    decoder, labels = Decoder(), torch.arange(5)
    hear(batch(labels=labels), samples=2, encoder=Encoder(classes=10), decoder=decoder, conditional=True)
    assert decoder.labels is not None
    assert decoder.labels.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_a_deterministic_loss_receives_the_means() -> None:
    heard = hear(deterministic=True, encoder=Encoder(log_variance=0.0))
    assert torch.equal(heard.latents, heard.mean)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_deterministic_encoder_does_not_train_its_log_variance(conditional: bool) -> None:
    encoder = Encoder(classes=10 if conditional else 0)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    wanted = family(wae_mmd(WAEOptions()), encoder, conditional=conditional)
    (phase,) = wanted.phases()
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert trained == {"norm.weight", "norm.bias", "mean.weight", "mean.bias"}
    assert encoder.training
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())  # statistics too
    phase.objective(batch(labels=torch.arange(5) if conditional else None)).total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in encoder.parameters() if parameter.requires_grad)


def test_the_prior_is_drawn_only_for_a_loss_that_uses_it() -> None:
    assert hear().prior is None
    prior = hear(batch(400), uses_prior=True, prior="uniform").prior
    assert prior is not None
    assert prior.shape == (400, 2)
    assert 0.95 < float(prior.abs().max()) <= 1.0


def test_the_loss_receives_the_number_of_training_images_and_the_progress() -> None:
    heard = hear(batch(progress=torch.tensor(0.25)))
    assert heard.train_size == 77
    assert heard.progress is not None
    assert heard.progress.item() == 0.25
    assert hear().progress is None


def test_the_parameters_of_a_loss_are_trained_with_the_networks() -> None:
    assert family(elbo(ElboOptions())).phases()[0].networks == ("encoder", "decoder")
    loss = elbo(ElboOptions(likelihood="gaussian-learned"))
    (phase,) = family(loss).phases()
    assert phase.networks == ("encoder", "decoder", "loss")
    phase.objective(batch()).total.backward()  # type: ignore[no-untyped-call]
    assert loss.module is not None
    assert all(parameter.grad is not None for parameter in loss.module.parameters())


@pytest.mark.parametrize("output", ["images", "logits"])
def test_a_loss_receives_images_in_zero_to_one_and_logits_for_any_value_range(output: Any) -> None:
    if output == "logits":
        wanted, low, high = family(recording := RecordingLoss().loss, decoder=Decoder()), 0.0, 1.0
    else:
        wanted = family(
            recording := RecordingLoss().loss, decoder=Decoder(nn.Tanh()), value_range=(-1.0, 1.0), output=output
        )
        low, high = -1.0, 1.0
    heard: list[genbench.Posterior] = []
    wanted.loss = dataclasses.replace(
        recording, objective=lambda p: heard.append(p) or genbench.Objective(p.mean.sum(), {}), deterministic=True
    )
    given = batch()
    given.images = given.images * (high - low) + low
    wanted.objective(given)
    torch.testing.assert_close(heard[0].images, batch().images)
    again = wanted.generate(heard[0].mean)
    torch.testing.assert_close(heard[0].logits.sigmoid() * (high - low) + low, again, atol=1e-5, rtol=0)


def test_losses_run_in_fp32_while_networks_run_in_bf16() -> None:
    recording = RecordingLoss(uses_prior=True, samples=2)
    wanted = family(recording.loss, precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        wanted.objective(batch())
    posterior = recording.heard[0]
    tensors = [posterior.logits, posterior.mean, posterior.log_variance, posterior.latents, posterior.images]
    assert [tensor.dtype for tensor in tensors] == [torch.float32] * 5


def test_samples_are_the_decoded_latents_of_the_prior_and_reconstructions_those_of_the_means() -> None:
    wanted = family(elbo(ElboOptions()))
    assert isinstance(wanted, genbench.LatentFamily)
    wanted.encoder.eval()
    latents = wanted.latents(6, torch.Generator().manual_seed(4))
    assert latents.shape == (6, 2)
    assert torch.equal(wanted.sample(6, torch.Generator().manual_seed(4)), wanted.generate(latents))
    images = batch().images
    assert torch.equal(wanted.reconstruct(images), wanted.generate(wanted.encoder(images)[0]))


@pytest.mark.parametrize("loss", [elbo(ElboOptions()), iwae(IWAEOptions()), wae_mmd(WAEOptions())])
def test_a_loss_is_the_same_in_training_and_in_evaluation(loss: genbench.VariationalLoss) -> None:
    """The weights of its terms must not depend on the mode; only layers such as batch norm may."""
    encoder = Encoder()
    encoder.norm = nn.Identity()  # type: ignore[assignment]
    wanted = family(loss, encoder)
    values = []
    for training in (True, False):
        for network in (wanted.encoder, wanted.decoder):
            network.train(training)
        values.append(wanted.objective(batch()).total.item())
    assert values[0] == values[1]


class Returns(nn.Module):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, images: Tensor) -> Any:
        return self.what


@pytest.mark.parametrize(
    ("returned", "error", "says"),
    [
        (torch.zeros(5, 2), genbench.NetworkError, "returned Tensor instead of"),
        ((torch.zeros(5, 3), torch.zeros(5, 3)), genbench.GenbenchError, r"mean of \(5, 3\).* where \(5, 2\)"),
        ((torch.zeros(5, 2), torch.zeros(5, 1)), genbench.GenbenchError, r"log variance of \(5, 1\)"),
        ((torch.zeros(5, 2, 1, 1), torch.zeros(5, 2, 1, 1)), genbench.GenbenchError, r"\(5, 2, 1, 1\)"),
        ((torch.zeros(1, 2), torch.zeros(1, 2)), genbench.GenbenchError, r"mean of \(1, 2\)"),
    ],
)
def test_the_error_for_an_invalid_encoder_output_states_what_was_expected(
    returned: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        hear(encoder=Returns(returned))


@pytest.mark.parametrize("settings", [{"samples": 0}, {"samples": 2, "deterministic": True}])
def test_a_loss_with_an_invalid_number_of_latents_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(genbench.GenbenchError, match=r"VariationalLoss\.samples must be at least 1"):
        family(RecordingLoss(**settings).loss)


def test_family_specs_can_be_created_and_use_dropout_only_in_their_networks() -> None:
    for spec in genbench_families():
        assert callable(resolve(spec.create))
        assert {*spec.dropout, *spec.averaged} <= {*spec.networks}
