"""Prints how many images each model may consume so that all trainings take the same number of operations.

    python benchmarks/zoo/equal_flops.py results/reference/zoo/known --flops 4e10

reads the counted FLOP/image of a run, which may be as short as `--images 160`, and prints the tables of a plan with the
images, rounded to whole batches.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import genbench


def images_for(flops: float, flops_per_image: float, batch_size: int) -> int:
    """Return the number of images, in whole batches and at least one, that takes about this many operations."""
    return max(1, round(flops / flops_per_image / batch_size)) * batch_size


def budgets(run: str | Path, flops: float) -> dict[str, int]:
    """Return the images of each model of a run by name."""
    found = {}
    for cell in genbench.load(run).cells:
        if cell.result is not None and cell.result.flops_per_image:
            batch_size = int(str(cell.recipe["batch_size"]))
            found[cell.identity.model.name] = images_for(flops, cell.result.flops_per_image, batch_size)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--flops", type=float, required=True)
    asked = parser.parse_args()
    for model, images in budgets(asked.run, asked.flops).items():
        print(f"[set.{model}]\nimages = {images:_}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
