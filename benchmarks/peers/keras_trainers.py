"""Keras 3 on torch: a VAE and a DCGAN as models with a `train_step`, trained by `fit`.

Channels come first, the faster layout on torch. The VAE trains on an array of float32 images in memory, the DCGAN on a
DataLoader of the PNG files, which `fit` accepts. Batch norm and Adam have the settings of torch, not Keras' own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import example_scripts
import keras
import torch
from images import colour_images, grey_images
from keras import layers, ops
from paused_fit import PausedFit
from torch import Tensor, nn
from torch.utils.data import DataLoader
from trainer import Losses, Setting

EPSILON = 1e-8  # of Adam, as in torch


class VAE(keras.Model):  # type: ignore[misc, unused-ignore]
    """784 - 400 - 20 - 400 - 784, with logits at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(400, activation="relu")
        self.mean, self.log_variance = layers.Dense(20), layers.Dense(20)
        self.back, self.out = layers.Dense(400, activation="relu"), layers.Dense(784)
        self.noise = keras.random.SeedGenerator(0)

    def call(self, x: Any) -> Any:
        """Return logits, and mean and log variance of the latents."""
        hidden = self.hidden(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        noise = keras.random.normal(ops.shape(mean), seed=self.noise)
        return self.out(self.back(mean + ops.exp(0.5 * log_variance) * noise)), mean, log_variance

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update the weights; the loss is in nats per image."""
        x = data[0] if isinstance(data, tuple) else data
        logits, mean, log_variance = self(x, training=True)
        error = ops.sum(ops.binary_crossentropy(x, logits, from_logits=True))
        divergence = -0.5 * ops.sum(1 + log_variance - ops.square(mean) - ops.exp(log_variance))
        loss = (error + divergence) / ops.shape(x)[0]
        self.zero_grad()
        loss.backward()
        _apply(self.optimizer, self.trainable_weights)
        return {"autoencoder": loss.detach()}


class GAN(keras.Model):  # type: ignore[misc, unused-ignore]
    """A generator and a discriminator that ends in a logit; both players use the same fakes."""

    def __init__(self, generator: Any, discriminator: Any) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.noise = keras.random.SeedGenerator(0)
        self.entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        self.built = True  # its networks are, and it has no call of its own

    def compile(self, optimizers: Sequence[Any]) -> None:  # type: ignore[override, unused-ignore]
        """Set the optimisers of the discriminator and of the generator."""
        super().compile()
        self.d_optimizer, self.g_optimizer = optimizers

    def train_step(self, data: Any) -> dict[str, Any]:
        """Update the discriminator on real images and fakes, then the generator on the same fakes."""
        real = data[0]
        ones, zeros = ops.ones((len(real), 1)), ops.zeros((len(real), 1))
        fake = self.generator(keras.random.normal((len(real), 100), seed=self.noise), training=True)
        self.zero_grad()
        of_real = self.entropy(ones, self.discriminator(real, training=True))
        of_fake = self.entropy(zeros, self.discriminator(fake.detach(), training=True))
        d_loss = of_real + of_fake
        d_loss.backward()
        _apply(self.d_optimizer, self.discriminator.trainable_weights)
        self.zero_grad()
        g_loss = self.entropy(ones, self.discriminator(fake, training=True))
        g_loss.backward()
        _apply(self.g_optimizer, self.generator.trainable_weights)
        return {"discriminator": d_loss.detach(), "generator": g_loss.detach()}


class _Pause(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    """Pauses `fit` before the first batch of a request."""

    def __init__(self, fit: PausedFit) -> None:
        super().__init__()
        self.pausing = fit

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Wait for a request."""
        self.pausing.batch_begins()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Hand over the losses."""
        self.pausing.batch_ended(logs or {})


class KerasTrainer:
    """A model of Keras and its `fit`."""

    def __init__(self, setting: Setting) -> None:
        keras.config.set_image_data_format("channels_first")
        self._mirrors = example_scripts.initial_networks(setting)
        given: dict[str, Any] = {"epochs": 10**9, "verbose": 0}
        if setting.model == "vae":
            model: Any = VAE()
            model.compile(optimizer=keras.optimizers.Adam(1e-3, epsilon=EPSILON))
            images = (grey_images().flatten(1).float() / 255).numpy()
            kept = len(images) // setting.batch_size * setting.batch_size
            given |= {"x": images[:kept], "batch_size": setting.batch_size}
            model(images[:2])
            self._layers = [model.hidden, model.mean, model.log_variance, model.back, model.out]
        else:
            generator, discriminator = _dcgan()
            model = GAN(generator, discriminator)
            adam = [keras.optimizers.Adam(2e-4, 0.5, 0.999, epsilon=EPSILON) for _ in range(2)]
            model.compile(adam)
            assert setting.folder is not None
            given["x"] = DataLoader(
                colour_images(setting.folder), batch_size=setting.batch_size, shuffle=True, drop_last=True
            )
            self._layers = [*generator.layers, *discriminator.layers]
        with torch.no_grad():
            for ours, theirs in self._pairs():
                theirs.copy_(ours)
        self.fit: PausedFit = PausedFit(lambda: model.fit(callbacks=[_Pause(self.fit)], **given))

    @property
    def networks(self) -> list[nn.Module]:
        """Networks of torch with the weights of Keras' model, in the order and layout of genbench."""
        with torch.no_grad():
            for ours, theirs in self._pairs():
                ours.copy_(theirs)
        return self._mirrors

    def train(self, steps: int) -> Losses:
        """Train so many batches."""
        return self.fit.train(steps)

    def _pairs(self) -> Iterable[tuple[Tensor, Tensor]]:
        """Return the parameters of genbench's networks, each with a view of Keras' in the same layout."""
        ours = [p.detach() for network in self._mirrors for p in network.parameters()]
        theirs = [_in_layout_of_torch(weight) for layer in self._layers for weight in layer.trainable_weights]
        if [p.shape for p in ours] != [p.shape for p in theirs]:
            raise ValueError("the networks are not the same")
        return zip(ours, theirs, strict=True)


def _in_layout_of_torch(weight: Any) -> Tensor:
    """Return a view of a weight; Keras stores kernels as (inputs, outputs) and (height, width, channels, channels)."""
    value: Tensor = weight.value.detach()
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1)
    return value.t() if value.ndim == 2 else value


def _apply(optimizer: Any, weights: Sequence[Any]) -> None:
    with torch.no_grad():
        optimizer.apply([weight.value.grad for weight in weights], weights)


def _dcgan() -> tuple[Any, Any]:
    """Return the networks of DCGAN for images of 64×64, with a width of 64 channels and 100 latents."""

    def norm() -> Any:
        return layers.BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5)

    def leaky() -> Any:
        return layers.LeakyReLU(negative_slope=0.2)

    generator = keras.Sequential([keras.Input((100,)), layers.Reshape((100, 1, 1))])
    generator.add(layers.Conv2DTranspose(512, 4, use_bias=False))  # 512 × 4 × 4
    for channels in (256, 128, 64):  # up to 64 × 32 × 32
        generator.add(norm())
        generator.add(layers.ReLU())
        generator.add(layers.Conv2DTranspose(channels, 4, strides=2, padding="same", use_bias=False))
    generator.add(norm())
    generator.add(layers.ReLU())
    generator.add(layers.Conv2DTranspose(3, 4, strides=2, padding="same", use_bias=False, activation="tanh"))
    discriminator = keras.Sequential([keras.Input((3, 64, 64))])
    discriminator.add(layers.Conv2D(64, 4, strides=2, padding="same", use_bias=False))  # 64 × 32 × 32
    discriminator.add(leaky())
    for channels in (128, 256, 512):  # down to 512 × 4 × 4
        discriminator.add(layers.Conv2D(channels, 4, strides=2, padding="same", use_bias=False))
        discriminator.add(norm())
        discriminator.add(leaky())
    discriminator.add(layers.Conv2D(1, 4, use_bias=False))
    discriminator.add(layers.Flatten())
    return generator, discriminator
