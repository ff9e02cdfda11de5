"""VQ-VAE: nearest codes, correct gradients, a causal prior, and sampling."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import genbench
from genbench.api.images import Shape
from genbench.api.options import resolve_options
from genbench.builtin.families.vector_quantised import VectorQuantised
from genbench.builtin.losses.vector_quantised import VQOptions
from genbench.builtin.losses.vector_quantised import specs as loss_specs
from genbench.builtin.losses.vector_quantised.quantisation import (
    Quantisation,
    codebook_term,
    commitment_term,
    perplexity,
    prior_term,
    vq,
)
from genbench.builtin.models.vector_quantised import VQVAEOptions, specs
from genbench.builtin.models.vector_quantised.pixelcnn import PixelCNN
from genbench.builtin.models.vector_quantised.vq_vae import Codebook, build
from genbench.errors import UsageError

(SPEC,) = specs()
SMALL = {"codes": 6, "width": 8, "residual_width": 4, "prior_width": 4, "prior_layers": 2}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def family(shape: Shape = (1, 28, 28), loss: VQOptions | None = None, **options: Any) -> VectorQuantised:
    torch.manual_seed(0)
    networks = build(shape, 5, 0, VQVAEOptions(**SMALL | options))
    created = vq(loss or VQOptions())
    if created.module is not None:
        networks["loss"] = created.module
    return VectorQuantised(
        genbench.Setup(networks, created, SPEC, 5, 0, {"precision": "fp32"}, torch.device("cpu"), 100)
    )


def batch(shape: Shape = (1, 28, 28), count: int = 4) -> genbench.Batch:
    return genbench.Batch(torch.rand(count, *shape, generator=rng(1)), None, rng(), True, {})


def parameters(network: object) -> list[nn.Parameter]:
    assert isinstance(network, nn.Module)
    return list(network.parameters())


# Networks


def test_parameter_counts() -> None:
    def conv(inputs: int, outputs: int, kernel: int, bias: bool = True) -> int:
        return inputs * outputs * kernel**2 + outputs * bias

    residual = conv(128, 32, 3, bias=False) + conv(32, 128, 1, bias=False)
    body = conv(128, 128, 3) + 2 * residual
    layer = (6 * 64 * 128 + 128) + 128 * 128 + (2 * 64 * 128 + 128) + conv(64, 64, 1)
    for channels in (1, 3):
        networks = build((channels, 64, 64), 64, 0, VQVAEOptions(codebook_decay=0.0))
        found = [sum(p.numel() for p in network.parameters()) for network in networks.values()]
        assert found == [
            conv(channels, 64, 4) + conv(64, 128, 4) + body + conv(128, 64, 1),
            512 * 64,
            conv(64, 128, 3) + 2 * residual + conv(128, 64, 4) + conv(64, channels, 4),
            512 * 64 + 6 * layer + conv(64, 64, 1) + conv(64, 512, 1),
        ]
        if channels == 1:
            assert found == [370_048, 32_768, 287_937, 588_224]


@pytest.mark.parametrize("shape", SPEC.image_shapes or ())
def test_every_declared_shape_trains_reconstructs_and_is_sampled(shape: Shape) -> None:
    wanted = family(shape)
    given = batch(shape, 2)
    for phase in wanted.phases():
        phase.objective(given).total.backward()  # type: ignore[no-untyped-call]
    assert given.shared["codes"].shape == (2, shape[1] // 4, shape[2] // 4)
    with torch.inference_mode():
        for images in (wanted.reconstruct(given.images), wanted.sample(2, rng())):
            assert images.shape == (2, *shape)
            assert 0 <= float(images.min()) <= float(images.max()) <= 1


# Codebook


@pytest.mark.parametrize("decay", [0.0, 0.99])
def test_each_encoding_is_replaced_by_the_vector_nearest_to_it(decay: float) -> None:
    codebook = Codebook(7, 3, decay).eval()
    codebook.vectors.data.copy_(torch.randn(7, 3, generator=rng()))
    encoded = torch.randn(2, 3, 4, 5, generator=rng(1))
    vectors, codes = codebook(encoded)
    for image in range(2):
        for row in range(4):
            for column in range(5):
                distances = (codebook.vectors - encoded[image, :, row, column]).square().sum(1)
                assert codes[image, row, column] == distances.argmin()
    assert torch.equal(vectors.movedim(1, -1), codebook.vectors[codes])
    assert torch.equal(codebook.look_up(codes), vectors)


def test_a_code_vector_follows_the_average_of_its_encodings() -> None:
    codebook = Codebook(2, 1, decay=0.9)
    codebook.vectors.copy_(torch.tensor([[-1.0], [1.0]]))
    codebook.counts.copy_(torch.tensor([2.0, 2.0]))
    codebook.sums.copy_(torch.tensor([[-2.0], [2.0]]))
    vectors, codes = codebook(torch.tensor([-3.0, -1.0, -2.0, 5.0]).view(4, 1, 1, 1))
    assert codes.flatten().tolist() == [0, 0, 0, 1]
    assert vectors.flatten().tolist() == [-1, -1, -1, 1]  # those of before the update
    counts = [0.9 * 2 + 0.1 * 3, 0.9 * 2 + 0.1 * 1]
    expected = [(0.9 * -2 + 0.1 * -6) / counts[0], (0.9 * 2 + 0.1 * 5) / counts[1]]
    assert codebook.counts.tolist() == pytest.approx(counts)
    assert codebook.vectors.flatten().tolist() == pytest.approx(expected)
    assert not list(codebook.parameters())


def test_vectors_that_are_hardly_used_are_reset_to_encodings() -> None:
    codebook = Codebook(8, 2, decay=0.9)
    encoded = 50 + torch.randn(4, 2, 3, 3, generator=rng())
    codebook(encoded)  # far from where the vectors begin: one of them is chosen for all, and becomes their average
    flat = encoded.movedim(1, -1).reshape(-1, 2)
    anew = [bool((flat - vector).square().sum(1).min() < 1e-6) for vector in codebook.vectors]
    assert sum(anew) == 7
    _, codes = codebook(encoded)
    assert len(codes.unique()) >= 7


def test_a_codebook_does_not_change_in_evaluation() -> None:
    codebook = Codebook(4, 2, decay=0.9).eval()
    before = {name: value.clone() for name, value in codebook.state_dict().items()}
    codebook(torch.randn(2, 2, 3, 3, generator=rng()))
    assert all(torch.equal(before[name], value) for name, value in codebook.state_dict().items())


# Loss


def quantisation(count: int = 3) -> Quantisation:
    encoded = torch.randn(count, 2, 3, 3, generator=rng())
    return Quantisation(
        images=torch.rand(count, 1, 5, 5, generator=rng(1)),
        logits=torch.randn(count, 1, 5, 5, generator=rng(2)),
        encoded=encoded.requires_grad_(),
        vectors=encoded.detach().round().requires_grad_(),
        codes=torch.randint(4, (count, 3, 3), generator=rng(3)),
        codebook_size=4,
    )


def test_the_terms_are_squared_distances_with_gradients_to_one_side_only() -> None:
    q = quantisation()
    squared = (q.encoded - q.vectors).square().sum().item() / 3
    for term, moved, fixed in (
        (codebook_term, q.vectors, q.encoded),
        (commitment_term, q.encoded, q.vectors),
    ):
        value = term(q.encoded, q.vectors)
        assert value.item() == pytest.approx(squared, rel=1e-6)
        gradient, none = torch.autograd.grad(value, (moved, fixed), allow_unused=True)
        torch.testing.assert_close(gradient, 2 * (moved - fixed) / 3)
        assert none is None


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "gaussian-learned", "logistic"])
def test_duplicating_a_batch_does_not_change_the_loss(likelihood: Any) -> None:
    once = quantisation()
    names = ("images", "logits", "encoded", "vectors", "codes")
    twice = Quantisation(**{n: torch.cat([getattr(once, n)] * 2) for n in names}, codebook_size=4)
    loss = vq(VQOptions(likelihood=likelihood, commitment=0.7))
    first, second = loss.objective(once), loss.objective(twice)
    assert first.total.item() == pytest.approx(second.total.item(), rel=1e-6)
    assert {n: t.item() for n, t in first.terms.items()} == pytest.approx(
        {n: t.item() for n, t in second.terms.items()}, rel=1e-5
    )
    terms = first.terms
    expected = terms["reconstruction"] + terms["codebook"] + 0.7 * terms["commitment"]
    assert first.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_perplexity_counts_the_codes_in_use() -> None:
    assert perplexity(torch.full((2, 3, 3), 5), 8).item() == pytest.approx(1.0)
    assert perplexity(torch.arange(8).view(2, 2, 2), 8).item() == pytest.approx(8.0)
    assert perplexity(torch.tensor([0, 0, 0, 7]), 8).item() == pytest.approx(4 / 3**0.75)  # H = ln 4 - ¾ ln 3


def test_the_loss_of_a_uniform_prior_is_the_logarithm_of_the_codebook_size_per_code() -> None:
    codes = torch.randint(6, (3, 4, 5), generator=rng())
    assert prior_term(torch.zeros(3, 6, 4, 5), codes).item() == pytest.approx(20 * math.log(6), rel=1e-6)


@pytest.mark.parametrize("value", [-0.1, "much"])
def test_the_error_for_an_invalid_commitment_states_its_range(value: object) -> None:
    (spec,) = loss_specs()
    with pytest.raises(UsageError, match=r"vq\.commitment is float ≥ 0 \(default 0\.25\)"):
        resolve_options(spec.option_schema, {"commitment": value}, "vq")


# Family


def test_the_decoders_gradient_passes_straight_through_to_the_encodings() -> None:
    wanted = family(loss=VQOptions(commitment=0.0), codebook_decay=0.0)
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            kept[name] = output if name == "encoded" else args[0]
            kept[name].retain_grad()

        return hook

    wanted.encoder.register_forward_hook(keep("encoded"))
    wanted.decoder.register_forward_hook(keep("decoded from"))
    given = batch()
    wanted.autoencoder_objective(given).total.backward()  # type: ignore[no-untyped-call]
    assert kept["encoded"].grad is not None
    assert kept["decoded from"].grad is not None
    torch.testing.assert_close(kept["encoded"].grad, kept["decoded from"].grad)
    torch.testing.assert_close(kept["decoded from"], wanted.codebook.look_up(given.shared["codes"]))
    assert all(bool(p.grad is not None and p.grad.any()) for p in parameters(wanted.codebook))


def test_the_prior_learns_from_codes_without_gradients_to_the_autoencoder() -> None:
    wanted = family(codebook_decay=0.0)
    given = batch()
    wanted.autoencoder_objective(given)
    wanted.prior_objective(given).total.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in parameters(wanted.prior))
    others = (wanted.encoder, wanted.codebook, wanted.decoder)
    assert all(p.grad is None for network in others for p in parameters(network))


def test_phases_train_every_network_and_the_parameters_of_the_loss() -> None:
    first, second = family(loss=VQOptions(likelihood="gaussian-learned")).phases()
    assert first.networks == ("encoder", "codebook", "decoder", "loss")
    assert second.networks == ("prior",)


def test_reconstructions_are_decoded_from_the_images_own_codes() -> None:
    wanted = family()
    assert isinstance(wanted.codebook, nn.Module)
    wanted.codebook.eval()
    images = batch().images
    _, codes = wanted.codebook(wanted.encoder(images))
    expected = wanted.decoder(wanted.codebook.look_up(codes)).sigmoid()
    torch.testing.assert_close(wanted.reconstruct(images), expected)


class ReadsOnTheHost(TorchDispatchMode):
    """Fails at what `.item()`, `float()` and `bool()` of a tensor come down to."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._schema.name != "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("decay", [0.0, 0.99])
def test_a_step_stays_finite_and_reads_nothing_on_the_host(precision: str, decay: float) -> None:
    wanted = family(codebook_decay=decay)
    given = batch()
    totals = []
    with ReadsOnTheHost(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for phase in wanted.phases():
            totals.append(phase.objective(given).total)
            totals[-1].backward()  # type: ignore[no-untyped-call]
    assert all(total.dtype == torch.float32 and math.isfinite(total.item()) for total in totals)


def test_a_conditional_model_or_another_familys_loss_is_refused() -> None:
    cpu = torch.device("cpu")
    with pytest.raises(TypeError, match="must create a VectorQuantisedLoss, not NoneType"):
        VectorQuantised(genbench.Setup({}, None, SPEC, 5, 0, {}, cpu))
    conditional = dataclasses.replace(SPEC, conditional=True)
    with pytest.raises(genbench.GenbenchError, match="'vq-vae' is conditional"):
        VectorQuantised(genbench.Setup({}, vq(VQOptions()), conditional, 5, 0, {}, cpu))


# Prior


def prior(codes: int = 5, grid: tuple[int, int] = (4, 4), layers: int = 4, condition_channels: int = 0) -> PixelCNN:
    torch.manual_seed(0)
    return PixelCNN(codes, grid, 8, layers, condition_channels).double().eval()


@given(st.integers(0, 15))
def test_a_code_depends_on_all_preceding_codes_and_on_no_later_one(position: int) -> None:
    network = prior()
    codes = torch.randint(5, (1, 4, 4), generator=rng())
    embedded = network.embedding(codes).detach().requires_grad_()
    network.embedding.forward = lambda _: embedded  # type: ignore[method-assign, assignment]
    logits = network(codes).flatten(2)[0, :, position]
    (gradient,) = torch.autograd.grad(logits.square().sum(), embedded, allow_unused=True)
    seen = torch.zeros(16, dtype=torch.bool) if gradient is None else (gradient[0] != 0).any(-1).flatten()
    assert seen.tolist() == [before < position for before in range(16)]


@pytest.mark.parametrize("channels", [0, 2])
def test_drawing_row_by_row_equals_drawing_code_by_code_from_the_whole_network(channels: int) -> None:
    network, count = prior(grid=(3, 4), condition_channels=channels), 6
    condition = torch.randn(count, channels, 3, 4, generator=rng()).double() if channels else None
    found = network.draw(count, rng(7), condition)
    expected, clocks = torch.zeros(count, 3, 4, dtype=torch.int64), rng(7)
    for row in range(3):
        for column in range(4):
            probabilities = network(expected, condition)[:, :, row, column].float().softmax(1)
            waiting = torch.empty(count, 5).exponential_(generator=clocks) / probabilities
            expected[:, row, column] = waiting.argmin(1)
    assert torch.equal(found, expected)
    assert not torch.equal(found, network.draw(count, rng(8), condition))


def test_a_condition_changes_the_codes_at_and_after_its_place() -> None:
    network = prior(condition_channels=2)
    codes, condition = torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 2, 4, 4).double().requires_grad_()
    logits = network(codes, condition).flatten(2)[0]
    (gradient,) = torch.autograd.grad(logits[:, 5].square().sum(), condition, retain_graph=True)
    assert gradient[0, :, 1, 1].abs().max() > 0  # its own place
    assert not gradient[0, :, 2:].any() and not gradient[0, :, 1, 2:].any()  # but none further on


def test_draws_have_the_learned_distribution() -> None:
    """Grids of 2×2: the first code is 1 in a quarter of them, each further one is the opposite of the previous one."""
    torch.manual_seed(0)
    network = PixelCNN(2, (2, 2), 8, 2)
    first = (torch.arange(64) % 4 == 0).long()
    codes = torch.stack([first, 1 - first, first, 1 - first], 1).view(64, 2, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        prior_term(network(codes), codes).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    drawn = network.draw(2000, rng()).flatten(1)
    assert drawn[:, 0].float().mean().item() == pytest.approx(0.25, abs=0.04)
    follows = torch.stack([1 - drawn[:, 0], drawn[:, 0], 1 - drawn[:, 0]], 1)
    assert (drawn[:, 1:] == follows).float().mean().item() > 0.98


def test_a_diverged_prior_still_draws_valid_codes() -> None:
    network = prior()
    network.output[-1].bias.data.fill_(math.nan)  # type: ignore[operator]
    codes = network.draw(3, rng())
    assert 0 <= int(codes.min()) <= int(codes.max()) < 5
