"""Compares each model of the zoo with its simple ancestor, and prints the table of docs/models.md.

    python benchmarks/zoo/ancestors.py results/reference/zoo/known results/reference/zoo/others

A model is better or worse in a metric if the means differ by more than twice the error of the difference. The error of
a mean over n seeds is s/√n, where s is the standard deviation over seeds: the model's own where it has several, but at
least the median of the models that have. Fewer operations or parameters count as better where there are a tenth fewer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import genbench

NOISE = "noise"  # uniformly distributed pixels: what the simplest model of a kind is compared with
METRICS = {  # as the stored results name them -> as the table does
    "fd-fashion-cnn": "distance",
    "precision-k5-n500-fashion-cnn": "precision",
    "recall-k5-n500-fashion-cnn": "recall",
    "coverage-k5-n500-fashion-cnn": "coverage",
}
DECIDING = ("distance", "recall", "coverage")  # not precision, which grey images that are all alike can have
COSTS = ("FLOP/image", "FLOP to draw", "parameters")
FEWER = 0.9

ANCESTORS = {
    "gan": NOISE, "dcgan": "gan", "dcgan-dense": "dcgan", "infogan-28": "gan", "sn-dcgan": "dcgan", "began": "dcgan",
    "cgan": "gan", "cdcgan": "dcgan", "acgan": "dcgan", "wgan-critic": "dcgan", "r3gan": "dcgan", "sagan": "sn-dcgan",
    "biggan": "sn-dcgan", "stylegan2": "dcgan", "stylegan2-conditional": "cdcgan", "pggan": "dcgan", "veegan": "gan",
    "vae": NOISE, "conv-vae": "vae", "dcgan-vae": "vae", "cvae": "vae", "vae-gan": "dcgan-vae", "aae": "vae",
    "conditional-aae": "cvae", "ali": "dcgan", "bigan": "dcgan", "rae": "conv-vae", "vamp-vae": "vae",
    "ladder-vae": "vae", "factor-vae": "conv-vae", "vq-vae": "conv-vae", "vq-vae-2": "vq-vae", "ddpm": NOISE,
    "diffusion": "ddpm", "conditional-diffusion": "diffusion", "diffusers-unet": "ddpm", "consistency": "diffusion",
    "realnvp": "vae", "glow": "realnvp", "cglow": "glow", "pixelcnn-pp": "vae", "image-transformer": "pixelcnn-pp",
}  # fmt: skip

# Why a model is better than its ancestor in none of the metrics that decide.
_LABELS = "the labels do not help after 4,000 images, about 400 of each class"
REASONS = {
    "began": "its learning rate, the paper's, is half of `dcgan`'s: after 250 updates its images are almost black",
    "cgan": f"{_LABELS}; the two differ by no more than seeds do",
    "infogan-28": "after 250 updates its images are still grey, which a high precision does not show",
    "cdcgan": f"after 250 updates its images are still grey; {_LABELS}",
    "acgan": f"{_LABELS}; its discriminator learns to classify as well",
    "wgan-critic": "its critic is updated twice per step: 4,000 images are 125 updates of its generator, not 250",
    "veegan": "its reconstructor is meant against the loss of modes, of which neither model has found many yet",
    "cvae": f"{_LABELS}; the two differ by no more than seeds do",
    "vae-gan": "the features in which it compares images are those of a discriminator that has only begun to learn",
    "aae": "its code has 8 values, not 20, and its learning rate is 0.0002, not 0.001",
    "conditional-aae": "its code has 8 values, not 20, and its learning rate is 0.0002, not 0.001",
    "ali": "its encoder draws noisy codes, so that the pairs which the discriminator compares say little at first",
    "bigan": "the two differ by no more than seeds do; it has an encoder in addition",
    "factor-vae": "it is made for independent latents, and pays for them with its reconstructions",
    "vq-vae-2": "the two differ by no more than seeds do; its second prior has learned little yet",
    "conditional-diffusion": f"{_LABELS}; the two differ by no more than seeds do",
    "consistency": "the two differ by no more than seeds do; it draws with one evaluation of the network, not nine",
    "cglow": f"{_LABELS}; the two differ by no more than seeds do",
    "image-transformer": "it is smaller, and must learn from the tokens which patches are neighbours",
}


@dataclass(frozen=True)
class Measured:
    """What is known of one model: values by name, means over its seeds."""

    values: Mapping[str, float]
    spread: Mapping[str, float]  # standard deviation over seeds, of a model with several
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """One row: where the model is better than its ancestor, where worse, and which values decide."""

    model: str
    ancestor: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    values: Mapping[str, tuple[float, float]]  # of the model and of the ancestor, by metric or cost

    @property
    def beats(self) -> bool:
        """Whether it is better in a metric that decides, and not only cheaper."""
        return any(name in DECIDING for name in self.better)


def measured(runs: Sequence[str | Path]) -> dict[str, Measured]:
    """Return what the runs have measured, by model, and for uniform noise."""
    loaded = genbench.load(*runs)
    found: dict[str, Measured] = {}
    for model in sorted({cell.identity.model.name for cell in loaded.cells}):
        cells = [cell for cell in loaded.cells if cell.identity.model.name == model and cell.result is not None]
        values = {name: [cell.estimate(name).value for cell in cells] for name in METRICS}
        result = cells[0].result
        assert result is not None
        operations = {"FLOP/image": result.flops_per_image, "FLOP to draw": result.flops_per_sample}
        costs = {name: value for name, value in operations.items() if value}
        costs["parameters"] = float(sum(result.total_parameters.values()))
        found[model] = Measured(
            {METRICS[name]: statistics.fmean(each) for name, each in values.items()} | costs,
            {METRICS[name]: statistics.stdev(each) for name, each in values.items() if len(each) > 1},
            len(cells),
        )
    return found


def compared(model: str, ancestor: str, found: Mapping[str, Measured], least: Mapping[str, float]) -> Comparison:
    """Return how the two differ; `least` is the smallest standard deviation over seeds that counts, by metric."""
    one, other = found[model], found[ancestor]
    better: list[str] = []
    worse: list[str] = []
    values: dict[str, tuple[float, float]] = {}
    for name in METRICS.values():
        if name not in other.values:
            continue
        error = sum(max(each.spread.get(name, 0.0), least[name]) ** 2 / each.seeds for each in (one, other)) ** 0.5
        gain = one.values[name] - other.values[name]
        gain = -gain if name == "distance" else gain
        values[name] = (one.values[name], other.values[name])
        if abs(gain) > 2 * error:
            (better if gain > 0 else worse).append(name)
    for name in COSTS:
        if name not in one.values or name not in other.values:
            continue
        values[name] = (one.values[name], other.values[name])
        if one.values[name] < FEWER * other.values[name]:
            better.append(name)
        elif other.values[name] < FEWER * one.values[name]:
            worse.append(name)
    return Comparison(model, ancestor, tuple(better), tuple(worse), values)


def comparisons(runs: Sequence[str | Path]) -> list[Comparison]:
    """Return a comparison for each model of the runs, in the order of `ANCESTORS`."""
    found = measured(runs)
    unknown = set(found) - set(ANCESTORS)
    if unknown:
        raise SystemExit(f"no ancestor is named for: {', '.join(sorted(unknown))}")
    spreads = [each.spread for each in found.values() if each.spread]
    least = {name: statistics.median(each[name] for each in spreads) for name in METRICS.values()}
    found[NOISE] = noise(runs)
    return [compared(model, ANCESTORS[model], found, least) for model in ANCESTORS if model in found]


def noise(runs: Sequence[str | Path]) -> Measured:
    """Return what the runs have measured of uniform noise; its error is small."""
    file = sorted((Path(runs[0]) / "references").glob("*.json"))[0]
    (row,) = [row for row in json.loads(file.read_text(encoding="utf-8"))["rows"] if row["name"] == NOISE]
    known = {estimate["metric"]: estimate["value"] for estimate in row["estimates"]}
    return Measured({METRICS[name]: known[name] for name in METRICS if name in known}, {}, 10_000)


def table(rows: Sequence[Comparison]) -> str:
    """Return the rows as Markdown."""
    lines = ["| model | simple ancestor | distance ↓ | better in | worse in |", "|---|---|---|---|---|"]
    for row in rows:
        mine, others = row.values["distance"]
        lines.append(
            f"| `{row.model}` | {row.ancestor if row.ancestor == NOISE else f'`{row.ancestor}`'} "
            f"| {mine:.1f}, not {others:.1f} | {_listed(row, row.better)} | {_listed(row, row.worse)} |"
        )
    beaten = [row.model for row in rows if not row.beats]
    count = len(rows) - len(beaten)
    lines += [
        "",
        f"{count} of {len(rows)} are better than their ancestor in distance, recall or coverage. These are not:",
        "",
    ]
    lines += [f"- `{model}`: {REASONS.get(model, 'no reason is known')}" for model in beaten]
    return "\n".join(lines)


def _listed(row: Comparison, names: Sequence[str]) -> str:
    parts = []
    for name in names:
        mine, others = row.values[name]
        if name in COSTS:
            parts.append(f"{name} (× {mine / others:.2g})")
        elif name == "distance":
            parts.append(name)
        else:
            parts.append(f"{name} ({mine:.2f}, not {others:.2f})")
    return ", ".join(parts) or "–"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    print(table(comparisons(parser.parse_args().runs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
