"""The VAE of vae_script.py as a plugin: a model, and its loss as a loss that other models can use too."""

from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import genbench


class Encoder(nn.Module):
    """The first half of the script's module; drawing the latents is left to the family."""

    def __init__(self, values, latent_dim):
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(values, 400), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(400, latent_dim), nn.Linear(400, latent_dim)

    def forward(self, images):
        """Return the mean and the log variance of q(z|x)."""
        hidden = self.hidden(images)
        return self.mean(hidden), self.log_variance(hidden)


def build(image_shape, latent_dim, num_classes, options):
    """Return the two halves of the script's module."""
    channels, height, width = image_shape
    values = channels * height * width
    decoder = nn.Sequential(nn.Linear(latent_dim, 400), nn.ReLU(), nn.Linear(400, values), nn.Unflatten(1, image_shape))
    return {"encoder": Encoder(values, latent_dim), "decoder": decoder}


def create(options):
    """Return the script's loss."""

    def nll(images, logits):  # of each decoded image
        repeated = images.repeat(len(logits) // len(images), 1, 1, 1)
        return binary_cross_entropy_with_logits(logits, repeated, reduction="none").sum((1, 2, 3))

    def objective(posterior):
        reconstruction = nll(posterior.images, posterior.logits).mean()
        mean, log_variance = posterior.mean, posterior.log_variance
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
        return genbench.Objective(reconstruction + kl, {"reconstruction": reconstruction, "kl": kl})

    return genbench.VariationalLoss(objective, nll=nll, likelihood=genbench.Likelihood("bernoulli", "cross-entropy"))


@genbench.hookimpl
def genbench_models():
    """Register the model."""
    yield genbench.ModelSpec(
        name="ported-vae",
        summary="two dense layers each",
        family="variational",
        build=build,
        default_loss="ported-bound",
        value_range=(0, 1),
        output="logits",  # the decoder ends without a sigmoid
        latent_dim=16,
        recipe={"batch_size": 32, "learning_rate": 1e-3, "beta1": 0.9},
    )


@genbench.hookimpl
def genbench_losses():
    """Register the loss."""
    yield genbench.LossSpec(
        name="ported-bound",
        summary="binary cross-entropy and KL divergence",
        formula="Σ BCE(x, x̂) + KL(q(z|x) ‖ N(0, I)), means over the batch",
        family="variational",
        create=create,
    )
