"""A plugin that registers a model."""

import genbench


@genbench.hookimpl
def genbench_models():
    """Register the model."""
    yield genbench.ModelSpec(
        name="my-gan", family="adversarial", build="my_package.networks:build", default_loss="non-saturating"
    )
