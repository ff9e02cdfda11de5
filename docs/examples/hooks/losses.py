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
    yield genbench.LossSpec(
        name="my-hinge",
        summary="hinge loss",
        formula="L_D = E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), L_G = -E D(G(z))",
        family="adversarial",
        create=create,
    )
