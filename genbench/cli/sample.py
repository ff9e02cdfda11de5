"""`genbench sample`: images from a trained cell."""

from __future__ import annotations

from collections.abc import Mapping

import click

from genbench.cli.flags import plugin_files
from genbench.errors import UsageError

_COUNT = 64
_STRIP, _ANIMATION = 8, 30  # images on the way from one to another


@click.command("sample")
@click.argument("run", type=click.Path())
@click.option("--cell", "part", required=True, metavar="CELL", help="Its id, or any unambiguous part of it.")
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help=f"Images. [{_COUNT}]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N", help="Of the latents. [0]")
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    help=".png: a grid; .npz: arrays; no suffix: a folder of PNG files; .gif: an animated interpolation.",
)
@click.option(
    "--class",
    "label",
    metavar="CLASS",
    help="Name or number, for a conditional model. [all in turn; of an interpolation, the first]",
)
@click.option(
    "--truncate",
    "psi",
    type=float,
    metavar="PSI",
    help="Cut the prior off at ±PSI, for typical images: a truncated normal, or a uniform prior scaled.",
)
@click.option("--interpolate", "way", metavar="A:B", help="The way from seed A to seed B instead of samples.")
@click.option(
    "--steps",
    type=click.IntRange(min=2),
    metavar="N",
    help=f"Images of an interpolation. [{_STRIP}; {_ANIMATION} of a .gif, and back]",
)
@click.option(
    "--reconstruct", "folder", metavar="FOLDER", help="Its first N images above what the model makes of them."
)
@click.option("--best", is_flag=True, help="The weights of the best evaluation instead of the last.")
@plugin_files
@click.option("--device", default="cpu", show_default=True, metavar="DEVICE", help="cpu, cuda, cuda:1, or auto.")
def command(
    run: str,
    part: str,
    count: int | None,
    seed: int | None,
    out: str,
    label: str | None,
    psi: float | None,
    way: str | None,
    steps: int | None,
    folder: str | None,
    best: bool,
    plugins: tuple[str, ...],
    device: str,
) -> None:
    """Write images that a trained cell of RUN makes; the same seed gives the same images.

    \b
    \b
    genbench sample results/first --cell dcgan -n 64 --out grid.png
    genbench sample results/first --cell dcgan --interpolate 3:8 --out way.gif
    genbench sample results/first --cell vae --reconstruct photos --out pairs.png
    """
    given = {
        "--seed": seed, "--count": count, "--truncate": psi, "--interpolate": way, "--steps": steps,
        "--reconstruct": folder,
    }  # fmt: skip
    _refuse_together(given, "--interpolate", ("--seed", "--count", "--reconstruct"))
    _refuse_together(given, "--reconstruct", ("--seed", "--truncate"))
    if steps is not None and way is None:
        raise UsageError("--steps belongs to --interpolate A:B.", "Add it, or leave --steps away.")
    seeds = None if way is None else _parse_way(way)

    from genbench.cli._run_steps import select_present_device
    from genbench.report.table.layout import clean
    from genbench.results.store import RunDirectory
    from genbench.sampling.checkpoint_model import load_trained
    from genbench.sampling.generate import (
        generate,
        interpolate,
        make_labels,
        parse_class,
        reconstruct,
        require_reconstruction,
    )
    from genbench.sampling.image_io import parse_destination, read_image_folder, write_images

    destination = parse_destination(out, animated=seeds is not None)
    directory = RunDirectory.open(run)
    trained = load_trained(directory, directory.find_cell(part), select_present_device(device), best, plugins)
    for note in trained.notes:
        click.echo(f"Note: {clean(note)}", err=True)
    chosen = None if label is None else parse_class(trained, label)
    if seeds is not None:
        steps = steps or (_ANIMATION if destination.form == "animation" else _STRIP)
        one = chosen if chosen is not None or not trained.classes else 0
        pixels = interpolate(trained, *seeds, steps, one, psi)
        write_images(destination, trained, pixels, columns=steps)
    elif folder is not None:
        require_reconstruction(trained)
        if trained.classes and chosen is None:
            raise UsageError(
                f"Model '{trained.model.name}' is conditional: it must know what the pictures show.",
                f"Add --class, a number from 0 to {trained.classes - 1} or the name of a class.",
            )
        pixels, problems = read_image_folder(folder, trained, count or _COUNT)
        for problem in problems:
            click.echo(f"Skipped {problem}", err=True)
        again = reconstruct(trained, pixels, make_labels(trained, chosen, len(pixels)))
        write_images(destination, trained, again, originals=pixels)
    else:
        count = count or _COUNT
        pixels = generate(trained, count, seed or 0, chosen, psi)
        write_images(destination, trained, pixels, make_labels(trained, chosen, count))
    click.echo(destination.path)


def _refuse_together(given: Mapping[str, object], one: str, others: tuple[str, ...]) -> None:
    if given[one] is None:
        return
    for other in others:
        if given[other] is not None:
            raise UsageError(f"{one} and {other} do not go together.", "Leave one of them away.")


def _parse_way(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    numbers = [int(part) if part.isascii() and part.isdigit() else 2**31 for part in (first, last)]
    if not colon or max(numbers) >= 2**31:
        raise UsageError(f"--interpolate {text} cannot be read.", "Write two seeds, such as --interpolate 3:8.")
    return numbers[0], numbers[1]
