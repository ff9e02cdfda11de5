"""A plugin with three models: one that works, one that raises, one with a breakpoint."""

import math

from torch import nn

import genbench


class Encoder(nn.Module):
    def __init__(self, values, latent_dim):
        super().__init__()
        self.body = nn.Linear(values, 2 * latent_dim)

    def forward(self, images):
        return self.body(images.flatten(1)).chunk(2, 1)


class Raises(Encoder):
    def forward(self, images):
        local_value = len(images) + 1000
        raise ValueError(f"no such {local_value}")


class Breaks(Encoder):
    stopped = False

    def forward(self, images):
        if not Breaks.stopped:
            Breaks.stopped = True
            local_value = len(images) + 2000
            breakpoint()
            print("the debugger has returned", local_value)
        return super().forward(images)


def builder(encoder):
    def build(image_shape, latent_dim, num_classes, options):
        values = math.prod(image_shape)
        decoder = nn.Sequential(nn.Linear(latent_dim, values), nn.Unflatten(1, image_shape))
        return {"encoder": encoder(values, latent_dim), "decoder": decoder}

    return build


@genbench.hookimpl
def genbench_models():
    common = {"family": "variational", "default_loss": "elbo", "latent_dim": 2, "output": "logits"}
    for name, encoder in {"works": Encoder, "raises": Raises, "breaks": Breaks}.items():
        yield genbench.ModelSpec(name=name, build=builder(encoder), value_range=(0.0, 1.0), **common)
