"""Independent random streams, derived from one seed by name."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(seed: int, purpose: str) -> int:
    """Return a 63-bit seed for one purpose; streams for different purposes do not overlap in practice."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seeded_generator(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    """Return a generator on `device`, seeded for one purpose."""
    generator = torch.Generator(device)
    generator.manual_seed(derive_seed(seed, purpose))
    return generator


def rank_purpose(purpose: str, rank: int) -> str:
    """Return the purpose of a per-process stream; rank 0 has the same stream as a single process."""
    return f"{purpose} of rank {rank}" if rank else purpose


def seed_globals(seed: int, purpose: str = "global") -> None:
    """Seed the global generators, which initialisers and dropout layers use."""
    derived = derive_seed(seed, purpose)
    torch.manual_seed(derived)
    np.random.seed(derived % 2**32)
    random.seed(derived)
