"""A plain training script of a variational autoencoder."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

STEPS, BATCH, LATENTS = 2, 32, 16


class VAE(nn.Module):
    """Encoder and decoder in one module."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(400, LATENTS), nn.Linear(400, LATENTS)
        self.decode = nn.Sequential(nn.Linear(LATENTS, 400), nn.ReLU(), nn.Linear(400, 784))

    def forward(self, images):
        """Return the logits of the reconstructions, and the parameters of q(z|x)."""
        hidden = self.hidden(images)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        latents = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decode(latents), mean, log_variance


model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
images = torch.load("images.pt").float() / 255  # uint8 (N, 1, 28, 28)

for step in range(STEPS):
    batch = images[torch.randint(len(images), (BATCH,))]
    logits, mean, log_variance = model(batch)
    reconstruction = binary_cross_entropy_with_logits(logits, batch.flatten(1), reduction="sum") / BATCH
    kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum() / BATCH
    optimizer.zero_grad()
    (reconstruction + kl).backward()
    optimizer.step()
    print(step, reconstruction.item(), kl.item())
