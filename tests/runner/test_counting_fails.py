"""A finished training keeps its result whatever happens while operations are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY, run

# A model that misbehaves in a training step after its samples have been written, which is while steps are counted.
PLUGIN = """
import math, os
from pathlib import Path
import genbench
from torch import nn


class Discriminator(nn.Sequential):
    def forward(self, images):
        if self.training and list(Path(os.environ["RUN"]).glob("samples/breaks*.png")):
            {does}
        return super().forward(images)


def build(image_shape, latent_dim, num_classes, options):
    pixels = math.prod(image_shape)
    generator = nn.Sequential(nn.Linear(latent_dim, pixels), nn.Tanh(), nn.Unflatten(1, image_shape))
    return {{"generator": generator, "discriminator": Discriminator(nn.Flatten(), nn.Linear(pixels, 1))}}


@genbench.hookimpl
def genbench_models():
    yield genbench.ModelSpec(name="breaks", family="adversarial", build=build, default_loss="hinge", latent_dim=4)
"""


@pytest.mark.parametrize(
    ("does", "noted"),
    [
        ("os._exit(3)", "no operations were counted: the process ended while it counted them"),
        ("os.kill(os.getpid(), 11)", "no operations were counted: the process ended while it counted them"),
        ("raise RuntimeError('CUDA error: an illegal memory access was encountered')", "illegal memory access"),
    ],
)
def test_the_result_of_a_finished_training_is_kept(does: str, noted: str, tmp_path: Path) -> None:
    plugin = tmp_path / "breaks.py"
    plugin.write_text(PLUGIN.format(does=does))
    out = tmp_path / "run"
    done = run(*TINY, "--plugin", str(plugin), "--models", "breaks", "--metrics", "diversity", out=out, RUN=str(out))
    (cell,) = done.run_cells
    assert cell.status in ("ok", "collapsed"), cell.reason
    assert cell.throughput is not None
    assert cell.counters is None
    assert [note for note in cell.notes if noted in note]
