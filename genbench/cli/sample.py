"""`genbench sample`: draw images from a trained cell."""

from __future__ import annotations

import click

from genbench.cli.flags import device_option, plugin_files, trust_plugins_flag
from genbench.cli.output import echo


@click.command("sample")
@click.argument("run", type=click.Path())
@click.option("--cell", "part", required=True, metavar="CELL", help="Id of the cell, or any unambiguous part of it.")
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help="Number of images. [default: 64]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N", help="Seed of the latents. [default: 0]")
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help="Grid (.png), arrays (.npz), animated interpolation (.gif) or folder of PNG files (no suffix).",
)
@click.option(
    "--class",
    "label",
    metavar="CLASS",
    help="Class name or number, for a conditional model. [default: all in turn; the first for an interpolation]",
)
@click.option(
    "--truncate",
    "psi",
    type=float,
    metavar="PSI",
    help="Truncate a normal prior at ±PSI, or scale a uniform prior by it, for more typical images.",
)
@click.option(
    "--sampler",
    metavar="NAME:OPTION=VALUE",
    help="Draw with this sampler of the model's family; options after further colons. [default: the family's own]",
)
@click.option(
    "--interpolate", "endpoints", metavar="A:B", help="Interpolate from seed A to seed B instead of sampling."
)
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    metavar="N",
    help="Number of images of an interpolation. [default: 8; 30 for a .gif, which also runs back]",
)
@click.option(
    "--reconstruct", "folder", metavar="FOLDER", help="Show the first N images of FOLDER above their reconstructions."
)
@click.option("--best", is_flag=True, help="Use the weights of the best evaluation instead of the last.")
@plugin_files
@trust_plugins_flag
@device_option("cpu")
def command(
    run: str,
    part: str,
    count: int | None,
    seed: int | None,
    out: str,
    label: str | None,
    psi: float | None,
    sampler: str | None,
    endpoints: str | None,
    steps: int | None,
    folder: str | None,
    best: bool,
    plugins: tuple[str, ...],
    trust_plugins: bool,
    device: str,
) -> None:
    """Draw images from a trained cell of RUN; the same seed gives the same images.

    \b
    genbench sample results/first --cell dcgan -n 64 --out grid.png
    genbench sample results/first --cell dcgan --interpolate 3:8 --out way.gif
    genbench sample results/first --cell diffusion --sampler ddim:steps=10 --out few.png
    genbench sample results/first --cell vae --reconstruct photos --out pairs.png
    """
    from genbench.commands.sample import sample
    from genbench.report.table.layout import clean

    drawn = sample(
        part, count, run=run, seed=seed, label=label, truncate=psi, sampler=sampler, interpolate=endpoints, steps=steps,
        reconstruct=folder, best=best, plugins=plugins, trust_plugins=trust_plugins, device=device, out=out,
    )  # fmt: skip
    for note in drawn.notes:
        echo(f"Note: {clean(note)}", err=True)
    for problem in drawn.skipped:
        echo(f"Skipped {problem}", err=True)
    echo(drawn.path)
