"""The family `pythae`: a model's forward pass returns its loss; new images come from its prior through its decoder.

Every model has a phase for its autoencoder. FactorVAE and the adversarial autoencoder have a second one for their
discriminator, PIWAE one for its decoder: each phase trains its own network and freezes the other, so that no loss
reaches a network that it is not meant for. (pythae runs both backward passes on one graph, so its FactorVAE's encoder
also receives the gradient of the discriminator's loss.) The price is a second forward pass.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import genbench
from genbench_pythae.catalogue import BY_NAME
from genbench_pythae.networks import connect, to_device
from genbench_pythae.torch_overrides import TorchOverrides

TERMS = {  # pythae's outputs that become curves, and the names of the curves; all are means over the batch
    "recon_loss": "reconstruction",
    "reg_loss": "regularisation",
    "mmd_loss": "mmd",
    "vq_loss": "quantisation",
    "embedding_loss": "embedding",
}


class Autoencoder:
    """A pythae model as genbench trains and samples it."""

    def __init__(self, setup: genbench.Setup) -> None:
        self.setup = setup
        self.wrapped = BY_NAME[setup.model.name]
        self.players = [name for name, _ in self.wrapped.players]
        self.model: Any = setup.networks["autoencoder"]
        self.prior: Any = setup.networks.get("prior")
        connect(self.model, {name: setup.networks[name] for name in self.players[1:]})
        to_device(self.model, setup.device)
        self.config: Any = self.model.model_config
        self.capacity = getattr(self.config, "C", 0.0)

    def phases(self) -> Sequence[genbench.Phase]:
        """Return one phase per player."""
        return [
            genbench.Phase(
                network,
                (network,),
                functools.partial(self.objective, loss),
                frozen=tuple(name for name in self.players if name != network),
            )
            for network, loss in self.wrapped.players
        ]

    def objective(self, loss: str, batch: genbench.Batch) -> genbench.Objective:
        """Return one of the losses of the model's forward pass."""
        output = self.forward(batch)
        total: Tensor = output[loss]
        if loss != self.wrapped.players[0][1]:
            return genbench.Objective(total, {})
        if self.wrapped.model == "RAE_L2":
            total = total + self.config.reg_weight / 2 * self._squared_decoder_weights()
        if self.prior is not None:
            self.prior.observe(output["z"].detach())
        terms = {name: output[key].detach().mean() for key, name in TERMS.items() if key in output}
        return genbench.Objective(total, terms)

    def forward(self, batch: genbench.Batch) -> Any:
        """Return what the model's forward pass returns; its noise is drawn from the batch's generator."""
        settings: dict[str, Any] = {"dataset_size": self.setup.train_size}
        if self.wrapped.model == "DisentangledBetaVAE":
            self.model.C = self.capacity * self._share_of_warm_up(batch)
            settings["epoch"] = self.config.warmup_epoch + 1  # tells pythae that its warm-up is over
        with TorchOverrides(batch.rng):
            return self.model({"data": batch.images}, **settings)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return decoded latents from the prior, or from the statistics that replace one."""
        return self.decode(self.draw(count, rng))

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents (count, latent_dim) to decode into images."""
        if self.wrapped.latents == "fitted":
            latents: Tensor = self.prior.draw(count, rng)
            return self._quantise(latents) if self.wrapped.model == "VQVAE" else latents
        if self.wrapped.latents == "pseudo-inputs":
            return self._draw_from_pseudo_inputs(count, rng)
        return torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device)

    def decode(self, latents: Tensor) -> Tensor:
        """Return one image in [0, 1] per latent."""
        images: Tensor = self.model.decoder(latents)["reconstruction"]
        return images

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded posterior means, transformed by the flow if the model has one."""
        latents = self.model.encoder(images).embedding
        if self.wrapped.model == "VQVAE":
            latents = self._quantise(latents)
        elif self.wrapped.model == "VAE_LinNF":
            for flow in self.model.net:
                latents = flow(latents).out
        elif self.wrapped.model == "VAE_IAF":
            latents = self.model.iaf_flow.inverse(latents).out
        return self.decode(latents)

    def _share_of_warm_up(self, batch: genbench.Batch) -> Tensor:
        """Return the share of the capacity: the epoch, counted from 1, over the warm-up epochs plus one."""
        assert batch.progress is not None
        images = self.setup.recipe["images"]
        assert isinstance(images, int)
        epoch = (batch.progress * (images / self.setup.train_size)).floor() + 1
        share: Tensor = epoch / (self.config.warmup_epoch + 1)
        return share.clamp(max=1)

    def _squared_decoder_weights(self) -> Tensor:
        """‖θ‖² of the decoder; the gradient of half of it equals the weight decay that pythae sets in its optimiser."""
        return torch.stack(torch._foreach_norm(list(self.model.decoder.parameters()))).square().sum()

    def _quantise(self, latents: Tensor) -> Tensor:
        """Return the nearest codes of latents (B, latent_dim), which pythae quantises one by one."""
        quantised: Tensor = self.model.quantizer(latents[:, None, :, None]).quantized_vector
        return quantised.flatten(1)

    def _draw_from_pseudo_inputs(self, count: int, rng: torch.Generator) -> Tensor:
        """Return latents of the posteriors of pseudo-images chosen at random (Tomczak & Welling 2018, eq. 9)."""
        model = self.model
        pseudo_images = model.pseudo_inputs(model.idle_input).reshape(-1, *self.config.input_dim)
        encoded = model.encoder(pseudo_images)
        chosen = torch.randint(len(pseudo_images), (count,), generator=rng, device=self.setup.device)
        mean, log_variance = encoded.embedding[chosen], encoded.log_covariance[chosen]
        noise = torch.randn(mean.shape, generator=rng, device=self.setup.device)
        drawn: Tensor = mean + (log_variance / 2).exp() * noise
        return drawn


class LatentAutoencoder(Autoencoder):
    """A model whose prior is N(0, 1): its latents can be interpolated and truncated."""

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents of the prior, (count, latent_dim)."""
        return self.draw(count, rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image in [0, 1] per latent."""
        return self.decode(latents)


def create(setup: genbench.Setup) -> Autoencoder:
    """Return the family's implementation for a model."""
    normal = BY_NAME[setup.model.name].latents == "normal"
    return LatentAutoencoder(setup) if normal else Autoencoder(setup)
