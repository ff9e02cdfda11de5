"""The memory format of networks and batches: whether the channels of a pixel lie next to each other in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from genbench.results.schema import MemoryFormatName
from genbench.train.engine import Engine

MEMORY_FORMATS: dict[MemoryFormatName, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


def default_memory_format(networks: Mapping[str, nn.Module]) -> torch.memory_format:
    """Return channels_last if there are convolutions, because a processor's fast kernels use this layout."""
    return torch.channels_last if has_convolutions(networks) else torch.contiguous_format


def has_convolutions(networks: Mapping[str, nn.Module]) -> bool:
    """Whether any network has a two-dimensional convolution, so that its memory format matters."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    return any(isinstance(module, convolutions) for network in networks.values() for module in network.modules())


def format_name(memory_format: torch.memory_format) -> MemoryFormatName:
    """Return the name of a memory format, as it is recorded."""
    return next(name for name, known in MEMORY_FORMATS.items() if known == memory_format)


@torch.no_grad()
def use_memory_format(engine: Engine, memory_format: torch.memory_format) -> None:
    """Arrange networks, averaged weights, optimisers and batches in this format; no value changes.

    Tensors keep their identity but not their memory: engines that know addresses must be prepared afterwards.
    """
    engine.memory_format = memory_format
    engine.data.finish.normalise.memory_format = memory_format
    for tensor in _images_and_kernels(engine):
        arranged = torch.empty_like(tensor, memory_format=memory_format)
        if arranged.stride() != tensor.stride():
            tensor.data = arranged.copy_(tensor)
    engine.note_memory()


def _images_and_kernels(engine: Engine) -> Iterator[Tensor]:
    """Yield the tensors with four dimensions that training keeps, which are those with a memory format."""
    averaged = engine.average.networks.values() if engine.average is not None else ()
    held: list[Tensor] = []
    for network in (*engine.networks.values(), *averaged):
        held += [*network.parameters(), *network.buffers()]
    for optimizer in dict.fromkeys(player.optimizer for player in engine.players if player.optimizer is not None):
        for state in optimizer.state.values():
            held += [value for value in state.values() if isinstance(value, Tensor)]
    yield from (tensor for tensor in held if tensor.ndim == 4)
