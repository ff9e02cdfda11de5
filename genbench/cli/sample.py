"""`genbench sample`: draw images from a trained cell."""

from __future__ import annotations

from collections.abc import Mapping

import click

from genbench.cli.flags import device_option, plugin_files, trust_plugins_flag
from genbench.cli.output import echo
from genbench.errors import UsageError

_COUNT = 64
_STRIP, _ANIMATION = 8, 30  # default number of images of an interpolation


@click.command("sample")
@click.argument("run", type=click.Path())
@click.option("--cell", "part", required=True, metavar="CELL", help="Id of the cell, or any unambiguous part of it.")
@click.option("-n", "--count", type=click.IntRange(min=1), metavar="N", help=f"Number of images. [default: {_COUNT}]")
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
    help=f"Number of images of an interpolation. [default: {_STRIP}; {_ANIMATION} for a .gif, which also runs back]",
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
    given = {
        "--seed": seed, "--count": count, "--truncate": psi, "--interpolate": endpoints, "--steps": steps,
        "--reconstruct": folder, "--sampler": sampler,
    }  # fmt: skip
    _forbid_combination(given, "--interpolate", ("--seed", "--count", "--reconstruct", "--sampler"))
    _forbid_combination(given, "--reconstruct", ("--seed", "--truncate", "--sampler"))
    _forbid_combination(given, "--sampler", ("--truncate",))
    if steps is not None and endpoints is None:
        raise UsageError("--steps needs --interpolate A:B.", "Add --interpolate, or remove --steps.")
    seeds = None if endpoints is None else _parse_seeds(endpoints)

    from genbench.commands.device import select_present_device
    from genbench.plugins.recorded_files import Allowed
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
        require_sampler,
    )
    from genbench.sampling.image_io import parse_destination, read_image_folder, write_images

    destination = parse_destination(out, animated=seeds is not None)
    directory = RunDirectory.open_unpacked(run)
    trained = load_trained(
        directory, directory.find_cell(part), select_present_device(device), best, Allowed(plugins, trust_plugins)
    )
    for note in trained.notes:
        echo(f"Note: {clean(note)}", err=True)
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
                f"Model '{trained.model.name}' is conditional: it needs the class of the images.",
                f"Add --class with a number from 0 to {trained.classes - 1} or the name of a class.",
            )
        pixels, problems = read_image_folder(folder, trained, count or _COUNT)
        for problem in problems:
            echo(f"Skipped {problem}", err=True)
        again = reconstruct(trained, pixels, make_labels(trained, chosen, len(pixels)))
        write_images(destination, trained, again, originals=pixels)
    else:
        count = count or _COUNT
        drawn_by = None if sampler is None else require_sampler(trained, sampler)
        pixels = generate(trained, count, seed or 0, chosen, psi, drawn_by)
        write_images(destination, trained, pixels, make_labels(trained, chosen, count))
    echo(destination.path)


def _forbid_combination(given: Mapping[str, object], one: str, others: tuple[str, ...]) -> None:
    if given[one] is None:
        return
    for other in others:
        if given[other] is not None:
            raise UsageError(f"{one} and {other} cannot be combined.", "Remove one of them.")


def _parse_seeds(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    numbers = [int(part) if part.isascii() and part.isdigit() else 2**31 for part in (first, last)]
    if not colon or max(numbers) >= 2**31:
        raise UsageError(f"Cannot read --interpolate {text}.", "Write two seeds, such as --interpolate 3:8.")
    return numbers[0], numbers[1]
