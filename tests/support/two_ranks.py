"""Trains each case for a few steps in two gloo processes and leaves their weights: python two_ranks.py FOLDER.

The test imports the cases, and what builds them, from here.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from genbench.builtin.models.adversarial import gan
from genbench.data.loading import LoadedData
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import file_plugins
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.train.builder import Built, build_cell
from genbench.train.checkpoint import weights_checksum
from genbench.train.process_group import Group, World

CPU = torch.device("cpu")
STEPS = 3
SGD = {"optimizer": "sgd", "learning_rate": 0.02, "batch_size": 8}  # Adam turns the rounding of a zero into a step
GAN = {"gan": {"width": 8}}
CASES: dict[str, dict[str, Any]] = {
    "gan": {"models": "gan", "set": GAN},
    "gan without batch norm": {"models": "gan", "set": GAN},
    "vae": {"models": "vae", "set": {"vae": {"hidden": 16}}, "learning_rate": 1e-4},
    "batch norm, two discriminator steps": {
        "models": "dcgan",
        "set": {"dcgan": {"width": 8}},
        "discriminator_steps": 2,
    },
    "gradient penalty": {"models": "gan", "losses": "wgan-gp", "set": GAN},
    "lazy penalty": {"models": "gan", "losses": "r1", "set": {**GAN, "r1": {"penalty_every": 2}}},
    "codebook of averages": {
        "models": "vq-vae",
        "set": {"vq-vae": {"codes": 8, "width": 8, "residual_width": 4, "prior_width": 4, "prior_layers": 2}},
    },
    "averages in the loss": {"models": "gan", "losses": "lecam", "set": GAN, "discriminator_steps": 2},
    "updates from one pass": {"models": "joint-dueller", "datasets": "dots"},
    "averaged weights, clipped gradients, augmentation": {
        "models": "gan",
        "set": GAN,
        "ema_half_life": 50,
        "clip_gradient": 0.1,
        "augment_flip": 0.5,
        "augment_discriminator": "ada",
    },
}


def plugins() -> Catalogue:
    files = file_plugins([Path(__file__).with_name("conforming_plugin.py")])
    return load_catalogue([asdict(plugin) for plugin in files])


def some_data(shape: tuple[int, int, int], count: int = 40) -> LoadedData:
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=rng)
    return LoadedData(pixels, None, pixels[:4], None, 0, "", ())


def built(catalogue: Catalogue, case: str, world: World | None = None) -> Built:
    (cell,) = make_plan(make_request({**SGD, **CASES[case]}), catalogue, "cpu").cells
    dense = lambda inputs, outputs: [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]  # noqa: E731
    without = patch.object(gan, "_normalised", dense) if case == "gan without batch norm" else nullcontext()
    with without:
        return build_cell(cell.identity, catalogue, some_data(cell.identity.image_shape), CPU, world=world)


def train(case: str, catalogue: Catalogue, group: Group, folder: Path) -> None:
    cell = built(catalogue, case, group)
    engine = cell.engine
    engine.step()
    gradients = {f"gradient {n}.{k}": p.grad for n, m in engine.networks.items() for k, p in m.named_parameters()}
    found = {name: gradient.clone() for name, gradient in gradients.items() if gradient is not None}
    found |= {f"buffer {n}.{k}": b.clone() for n, m in engine.networks.items() for k, b in m.named_buffers()}
    for _ in range(STEPS - 1):
        engine.step()
    group.require_equal("weights", weights_checksum(engine))
    found |= {f"{n}.{k}": value.clone() for n, m in engine.networks.items() for k, value in m.state_dict().items()}
    found |= {f"term {name}": values for name, values in group.all_reduce_mean(engine.read_terms()).items()}
    if group.main:
        save_file({name: value.contiguous() for name, value in found.items()}, folder / f"{case}.safetensors")


def main(folder: Path) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    catalogue = plugins()
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            try:
                torch.set_num_threads(1)
                store = dist.FileStore(str(folder / "store"), 2)
                dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60))
                group = Group(store, CPU)
                for case in CASES:
                    train(case, catalogue, group, folder)
                dist.destroy_process_group()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
