"""Five models of one shape, all sound; with FAULTY = True each has the fault that it is named after.

The tests copy this file and change that one line, as a commit to a plugin would.
"""

import torch
from torch import nn

import genbench

FAULTY = False

WIDTH = 8


class Generator(nn.Sequential):
    def __init__(self, latent_dim, extra):
        super().__init__(
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, WIDTH, 7),
            nn.BatchNorm2d(WIDTH),
            *extra,
            nn.ReLU(),
            nn.ConvTranspose2d(WIDTH, 1, 4, 4),
            nn.Tanh(),
        )


class Discriminator(nn.Module):
    def __init__(self, fault):
        super().__init__()
        self.fault = fault
        self.body = nn.Sequential(
            nn.Conv2d(1, WIDTH, 4, 4),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, WIDTH, 3),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.LazyLinear(1),
        )
        self.body(torch.zeros(1, 1, 28, 28))

    def forward(self, images):
        if self.fault == "extra-forward":
            self.body(images)
        if self.fault == "item":
            images.mean().item()
        if self.fault == "unfrozen":
            self.requires_grad_(True)
        if self.fault == "contiguous":
            hidden = self.body[1](self.body[0](images)).contiguous()
            return self.body[2:](hidden)
        return self.body(images)


def build_with(fault):
    def build(image_shape, latent_dim, num_classes, options):
        extra = [nn.BatchNorm2d(WIDTH)] if fault == "doubled-layer" else []
        return {"generator": Generator(latent_dim, extra), "discriminator": Discriminator(fault)}

    return build


FAULTS = ("extra-forward", "item", "unfrozen", "contiguous", "doubled-layer")


@genbench.hookimpl
def genbench_models():
    for fault in FAULTS:
        yield genbench.ModelSpec(
            name=fault,
            summary="convolutions",
            family="adversarial",
            build=build_with(fault if FAULTY else ""),
            default_loss="non-saturating",
            value_range=(-1, 1),
            image_shapes=((1, 28, 28),),
            latent_dim=8,
        )
