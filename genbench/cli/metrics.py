"""`genbench metrics`: certify the distance of a feature extractor, or a faster way to compute it."""

from __future__ import annotations

import sys

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, chain, device_option, plugin_files, set_option
from genbench.cli.output import echo, print_result, save_figure
from genbench.errors import ExitCode

_shared_options = chain(
    click.argument("extractor"),
    click.option(
        "--dataset",
        default="fashion-mnist-mini",
        show_default=True,
        metavar="NAME",
        help="Dataset that the images come from.",
    ),
    set_option("the dataset"),
    click.option(
        "--samples",
        type=click.IntRange(min=40),
        default=2000,
        show_default=True,
        metavar="N",
        help="Number of held-out images.",
    ),
    device_option("cpu"),
    plugin_files,
    as_json_flag,
)


@click.group("metrics", cls=NearMissGroup)
def command() -> None:
    """Certify a feature extractor, or verify a faster way to run it."""


@command.command("certify")
@_shared_options
@click.option("--out", type=click.Path(), metavar="FILE", help="Also draw the ladders: .svg, .pdf or .png.")
def certify(
    extractor: str,
    dataset: str,
    settings: tuple[str, ...],
    samples: int,
    device: str,
    plugins: tuple[str, ...],
    as_json: bool,
    out: str | None,
) -> int:
    """Test whether an extractor's distance rises as images degrade.

    Measures the distance between real images (the floor), and to real images that are degraded in several levels.
    Exits with code 0 if every level is farther than the one before by more than two standard errors, 1 if one is
    closer by as much, and 3 if the result is inconclusive.

    \b
    genbench metrics certify fashion-cnn --out ladder.svg
    genbench metrics certify classifier --dataset cifar10 --json
    """
    from genbench.commands.checks.extractors import certify_extractor
    from genbench.gate.extractor_certificate import Monotonicity
    from genbench.report.figures.figure import figure_path

    path = None if out is None else figure_path(out)
    found = certify_extractor(
        extractor, dataset=dataset, set=settings, samples=samples, device=device, plugins=plugins, progress=_progress
    )
    codes = {Monotonicity.MONOTONE: ExitCode.OK, Monotonicity.NOT_MONOTONE: ExitCode.REGRESSED}
    code = codes.get(found.verdict, ExitCode.INCONCLUSIVE)
    print_result(found, as_json, code)
    if path is not None:
        save_figure(found.figure(), path)
        echo(f"Figure: {path}", err=True)
    return code


@command.command("accept")
@_shared_options
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of the network.",
)
@click.option("--compile", "compiled", is_flag=True, help="Run the network through torch.compile.")
def accept(
    extractor: str,
    dataset: str,
    settings: tuple[str, ...],
    samples: int,
    device: str,
    plugins: tuple[str, ...],
    as_json: bool,
    precision: str,
    compiled: bool,
) -> int:
    """Check that faster features agree with the exact ones.

    The distance between fast and exact features of the same images must be below a tenth of the standard error. Exits
    with code 0 if the fast path is accepted, and 1 if it is not.

    \b
    genbench metrics accept fashion-cnn --precision bf16
    genbench metrics accept inception --precision bf16 --compile --device cuda
    """
    from genbench.commands.checks.extractors import accept_extractor

    found = accept_extractor(
        extractor, precision=precision, compile=compiled, dataset=dataset, set=settings, samples=samples, device=device,
        plugins=plugins,
    )  # fmt: skip
    code = ExitCode.OK if found.accepted else ExitCode.REGRESSED
    print_result(found, as_json, code)
    return code


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        echo(f"measuring: {what}", err=True)
