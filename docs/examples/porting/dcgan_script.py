"""A plain training script of a convolutional GAN: where docs/porting.md starts."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEPS, BATCH, LATENTS = 2, 32, 100

generator = nn.Sequential(
    nn.ConvTranspose2d(LATENTS, 64, 7),  # 7 × 7
    nn.BatchNorm2d(64),
    nn.ReLU(),
    nn.ConvTranspose2d(64, 32, 4, 2, 1),  # 14 × 14
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.ConvTranspose2d(32, 1, 4, 2, 1),  # 28 × 28
    nn.Tanh(),
).to(DEVICE)
discriminator = nn.Sequential(
    nn.Conv2d(1, 32, 4, 2, 1),
    nn.LeakyReLU(0.2),
    nn.Conv2d(32, 64, 4, 2, 1),
    nn.LeakyReLU(0.2),
    nn.Conv2d(64, 1, 7),
).to(DEVICE)
for module in [*generator.modules(), *discriminator.modules()]:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)

adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
train_generator = torch.optim.Adam(generator.parameters(), **adam)
train_discriminator = torch.optim.Adam(discriminator.parameters(), **adam)
images = torch.load("images.pt").float() / 127.5 - 1  # uint8 (N, 1, 28, 28)

for step in range(STEPS):
    real = images[torch.randint(len(images), (BATCH,))].to(DEVICE)
    fake = generator(torch.randn(BATCH, LATENTS, 1, 1, device=DEVICE))

    real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
    loss = binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    loss = loss + binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    train_discriminator.zero_grad()
    loss.backward()
    train_discriminator.step()

    fake_logits = discriminator(fake)
    generator_loss = binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))
    train_generator.zero_grad()
    generator_loss.backward()
    train_generator.step()
    print(step, loss.item(), generator_loss.item())
