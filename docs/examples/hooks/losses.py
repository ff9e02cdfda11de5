"""A plugin that registers a loss."""

import genbench


def create(options):
    """Return the hinge loss of discriminator and generator."""
    return genbench.AdversarialLoss(
        discriminator=lambda real, fake: (1 - real).relu().mean() + (1 + fake).relu().mean(),
        generator=lambda fake, real: -fake.mean(),
    )


@genbench.hookimpl
def genbench_losses():
    """Register the loss."""
    yield genbench.LossSpec(name="my-hinge", family="adversarial", create=create)
