"""Cells that are ready to train, small, on random images, for the tests of engines."""

from __future__ import annotations

from typing import Any

import torch
from built_models import SPECS, tiny

from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue, combine
from genbench.plugins.loader import builtin_plugins, load_plugin
from genbench.train.builder import Built, build_cell
from genbench.train.engine import Engine
from genbench.train.state import read_state

CPU = torch.device("cpu")
CATALOGUE: Catalogue = combine([load_plugin(plugin) for plugin in builtin_plugins()])


def some_data(shape: tuple[int, int, int], count: int = 72) -> LoadedData:
    """Return random images of two kinds of brightness, so that there is something to learn, and labels."""
    rng = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 10
    pixels = torch.rand(count, *shape, generator=rng) * (40 + 200 * (labels % 2).view(-1, 1, 1, 1))
    images = pixels.to(torch.uint8)
    return LoadedData(images, labels, images[:4], labels[:4], 10, "", ())


def built(model: str, catalogue: Catalogue = CATALOGUE, batch_size: int = 8, **recipe: Any) -> Built:
    """Return a cell with the smallest sensible networks."""
    torch.set_num_threads(1)
    options = {model: tiny(model), **recipe.pop("set", {})} if model in SPECS else {}
    shape = (1, 32, 32) if model == "resnet-gan" else (1, 28, 28)
    data = {"datasets": "synthetic"} if model == "resnet-gan" else {}
    if data:
        options = {**options, "synthetic": {"size": 32, "channels": 1}}
    request = make_request({"models": model, "batch_size": batch_size, "set": options, **data, **recipe})
    (cell,) = make_plan(request, catalogue, "cpu").cells
    return build_cell(cell.identity, catalogue, some_data(shape), CPU)


def steps(engine: Engine, count: int = 4) -> dict[str, torch.Tensor]:
    """Take some steps; return the losses and the whole state."""
    for _ in range(count):
        engine.step()
    return {**engine.read_terms(), **read_state(engine).copy().tensors}


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Return the names of the tensors that are not equal bit for bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]
