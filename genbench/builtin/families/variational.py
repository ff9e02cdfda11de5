"""The variational family: an encoder and a decoder maximise a bound on the likelihood of the images.

A model's networks are `encoder(images) -> (mean, log_variance)`, both (B, latent_dim), and `decoder(latents) -> images`
(or their logits, where the model has output="logits"). Conditional networks take labels (B,) as a last argument. The
parameters of a loss are trained as the network `loss`.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes"; latents are drawn as mean + exp(log_variance / 2) · noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

import genbench
from genbench.builtin.families.decoded import Decoded
from genbench.builtin.families.latents import draw_latents
from genbench.builtin.families.scheduled_networks import follow_schedule, scheduled_networks

_PAIR = (tuple, list)


class _NegativeLogLikelihood(nn.Module):
    """A loss's function together with the module that holds its parameters."""

    def __init__(self, module: nn.Module, nll: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.nll = module, nll

    def forward(self, images: Tensor, logits: Tensor) -> Tensor:
        return self.nll(images, logits)


class Variational:
    """One player: the encoder and the decoder together."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, genbench.VariationalLoss):
            raise TypeError(f"a variational loss must create a VariationalLoss, not {type(setup.loss).__name__}")
        self.setup = setup
        self.loss: genbench.VariationalLoss = setup.loss
        if self.loss.samples < 1 or (self.loss.deterministic and self.loss.samples > 1):
            raise genbench.GenbenchError(
                f"The loss requests {self.loss.samples} latents per image"
                f"{', without randomness' if self.loss.deterministic else ''}.",
                "VariationalLoss.samples must be at least 1, and exactly 1 where deterministic is set.",
            )
        if self.loss.likelihood is not None and self.loss.likelihood.kind == "dequantised":
            raise genbench.GenbenchError(
                f"The likelihood '{self.loss.likelihood.name}' is of dequantised images, and `nll` receives no noise.",
                "Declare 'density', or 'discrete' with the probability of each of the 256 levels.",
            )
        self.encoder = setup.networks["encoder"]
        self.decoder = setup.networks["decoder"]
        self.conditional = setup.model.conditional
        self.decoded = Decoded(setup.model)
        self.mixed_precision = setup.recipe["precision"] == "bf16"
        self.scheduled = scheduled_networks(setup)

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase; a deterministic encoder's log variance is not trained."""
        if self.loss.deterministic:
            self._freeze_log_variance()
        networks = ("encoder", "decoder") if self.loss.module is None else ("encoder", "decoder", "loss")
        return (genbench.Phase("autoencoder", networks, self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Encode, draw latents, decode, and evaluate the loss."""
        follow_schedule(self.scheduled, batch)
        mean, log_variance = self._encode(batch.images, batch.labels)
        latents = self._draw(mean, log_variance, batch.rng)
        draws = self.loss.samples
        labels = batch.labels if batch.labels is None or draws == 1 else batch.labels.repeat(draws)
        decoded = self._decode(latents, labels)
        prior = draw_latents(self.setup, len(mean), batch.rng) if self.loss.uses_prior else None
        if not self.mixed_precision:
            return self._evaluate_loss(batch, decoded, mean, log_variance, latents, prior)
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            return self._evaluate_loss(batch, decoded.float(), mean, log_variance, latents, prior)

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents drawn from the prior, (count, latent_dim)."""
        return draw_latents(self.setup, count, rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded mean of each latent."""
        return self.decoded.images(self._decode(latents, labels))

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of `count` latents drawn from the prior."""
        return self.generate(self.latents(count, rng), labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded posterior means of images."""
        mean, _ = self._encode(images, labels)
        return self.generate(mean, labels)

    @property
    def likelihood(self) -> genbench.Likelihood | None:
        """The loss's likelihood p(x|z); None where it has none, or where the latents have no importance weights.

        A deterministic encoder has no density, and a Gaussian q(z|x) always extends beyond the support of a uniform
        prior.
        """
        has_weights = self.loss.nll is not None and not self.loss.deterministic and self.setup.model.prior == "normal"
        return self.loss.likelihood if has_weights else None

    def bound(
        self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> genbench.LikelihoodBound:
        """Return the log weights of `draws` latents for each image (Burda et al. 2016, equation 8), and their parts.

        Noise is drawn image by image, so the bound of an image does not depend on the others of its batch. Raises
        ValueError where `likelihood` is None.
        """
        if self.likelihood is None:
            raise ValueError("this model has no bound on the likelihood: check `likelihood` first.")
        with torch.autocast(images.device.type, enabled=False):  # sums over pixels need fp32
            mean, log_variance = self._encode(images, labels)
            noise = torch.stack([self._noise(draws, mean, rng) for _ in images], 1)  # K × B × latent_dim
            latents = mean + (log_variance / 2).exp() * noise
            repeated = None if labels is None else labels.repeat(draws)
            logits = self.decoded.logits(self._decode(latents.flatten(0, 1), repeated))
            distortion = self._nll(self.decoded.unit(images), logits).view(draws, len(images))
            # log p(z) - log q(z|x): the constants cancel, and (z - μ) / σ is the noise
            log_ratio = 0.5 * (noise.square() + log_variance - latents.square()).sum(2)
            rate = 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(1)
        return genbench.LikelihoodBound(log_ratio - distortion, distortion.mean(0), rate, mean)

    def _nll(self, images: Tensor, logits: Tensor) -> Tensor:
        """Return the loss's -log p(x|z) with its parameters from `setup.networks`, which may be averaged ones."""
        assert self.loss.nll is not None
        if self.loss.module is None:
            return self.loss.nll(images, logits)
        function = _NegativeLogLikelihood(self.loss.module, self.loss.nll)
        parameters = {f"module.{name}": value for name, value in self.setup.networks["loss"].state_dict().items()}
        found: Tensor = functional_call(function, parameters, (images, logits))
        return found

    def _draw(self, mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
        if self.loss.deterministic:
            return mean
        deviation = (log_variance / 2).exp()
        draws = self.loss.samples
        noise = self._noise(draws * len(mean), mean, rng)
        if draws == 1:
            return mean + deviation * noise
        return mean.repeat(draws, 1) + deviation.repeat(draws, 1) * noise

    def _noise(self, count: int, mean: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn((count, mean.shape[1]), generator=rng, device=self.setup.device, dtype=mean.dtype)

    def _evaluate_loss(
        self,
        batch: genbench.Batch,
        decoded: Tensor,
        mean: Tensor,
        log_variance: Tensor,
        latents: Tensor,
        prior: Tensor | None,
    ) -> genbench.Objective:
        return self.loss.objective(
            genbench.Posterior(
                images=self.decoded.unit(batch.images),
                logits=self.decoded.logits(decoded),
                mean=mean,
                log_variance=log_variance,
                latents=latents,
                prior=prior,
                train_size=self.setup.train_size,
                progress=batch.progress,
            )
        )

    def _encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        encoded = self.encoder(images, labels) if self.conditional else self.encoder(images)
        if not isinstance(encoded, _PAIR) or len(encoded) != 2 or not all(isinstance(part, Tensor) for part in encoded):
            pair = f"{len(encoded)} values" if isinstance(encoded, _PAIR) else type(encoded).__name__
            raise genbench.NetworkError(
                "encoder",
                f"returned {pair} instead of (mean, log_variance)",
                "Return two tensors (images, latent_dim).",
            )
        mean, log_variance = encoded
        expected = (len(images), self.setup.latent_dim)
        if mean.shape != expected or log_variance.shape != expected:
            raise genbench.NetworkError(
                "encoder",
                f"returned a mean of {tuple(mean.shape)} and a log variance of {tuple(log_variance.shape)} where "
                f"{expected} was expected",
                "Both must be (images, latent_dim), with the latent_dim passed to `build`.",
            )
        return (mean.float(), log_variance.float()) if self.mixed_precision else (mean, log_variance)

    def _decode(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        decoded: Tensor = self.decoder(latents, labels) if self.conditional else self.decoder(latents)
        return decoded

    def _freeze_log_variance(self) -> None:
        """Freeze the parameters that only the log variance depends on, which would never receive a gradient."""
        modes = self.encoder.training, self.decoder.training
        self.encoder.eval(), self.decoder.eval()  # these images must not update any statistics
        device = self.setup.device
        labels = torch.zeros(2, dtype=torch.int64, device=device) if self.conditional else None
        with torch.no_grad():
            images = self.generate(torch.zeros(2, self.setup.latent_dim, device=device), labels)
        mean, _ = self._encode(images, labels)
        parameters = [parameter for parameter in self.encoder.parameters() if parameter.requires_grad]
        if mean.requires_grad:
            gradients = torch.autograd.grad(mean.sum(), parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.requires_grad_(gradient is not None)
        self.encoder.train(modes[0]), self.decoder.train(modes[1])
