"""The GAN of dcgan_script.py as a plugin: the networks and the initialisation stay, the loop goes."""

from torch import nn

import genbench


class FromLatents(nn.Module):
    """Turns latents (B, latent_dim) into maps (B, latent_dim, 1, 1), as the script's generator receives them."""

    def forward(self, latents):
        """Add two dimensions."""
        return latents[:, :, None, None]


def build(image_shape, latent_dim, num_classes, options):
    """Return the networks of the script."""
    channels, _, _ = image_shape
    generator = nn.Sequential(
        FromLatents(),
        nn.ConvTranspose2d(latent_dim, 64, 7),  # 7 × 7
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 14 × 14
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.ConvTranspose2d(32, channels, 4, 2, 1),  # 28 × 28
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 1, 7),
    )
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
    return {"generator": generator, "discriminator": discriminator}


@genbench.hookimpl
def genbench_models():
    """Register the model."""
    yield genbench.ModelSpec(
        name="ported-dcgan",
        summary="a small convolutional GAN",
        family="adversarial",
        build=build,
        default_loss="non-saturating",  # the script's two cross-entropies
        image_shapes=((1, 28, 28), (3, 28, 28)),
        value_range=(-1, 1),
        recipe={"batch_size": 32, "learning_rate": 2e-4, "beta1": 0.5, "beta2": 0.999},
    )
