"""`genbench metrics`: certify the distance of a feature extractor, or a faster way to compute it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, chain, device_option, plugin_files, set_option
from genbench.cli.output import echo, print_json, record_exit_code, save_figure
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.gate.extractor_certificate import Certificate
    from genbench.sampling.held_out import HeldOut

DATASET = "fashion-mnist-mini"
SAMPLES = 2000

_shared_options = chain(
    click.argument("extractor"),
    click.option(
        "--dataset", default=DATASET, show_default=True, metavar="NAME", help="Dataset that the images come from."
    ),
    set_option("the dataset"),
    click.option(
        "--samples",
        type=click.IntRange(min=40),
        default=SAMPLES,
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
    from genbench.gate.extractor_certificate import Monotonicity
    from genbench.report.certificate import certificate_text
    from genbench.report.figures.figure import figure_path

    figure = None if out is None else figure_path(out)
    found = _load_held_out(extractor, dataset, settings, samples, device, plugins)
    certificate = _measure_certificate(found, extractor, dataset)
    codes = {Monotonicity.MONOTONE: ExitCode.OK, Monotonicity.NOT_MONOTONE: ExitCode.REGRESSED}
    code = codes.get(certificate.verdict, ExitCode.INCONCLUSIVE)
    record_exit_code(code)
    if as_json:
        verdicts = {ladder.name: ladder.verdict for ladder in certificate.ladders}
        _print_result(certificate, verdict=certificate.verdict, verdicts=verdicts)
    else:
        echo(certificate_text(certificate), nl=False)
    if figure is not None:
        _write_figure(figure, certificate)
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
    from genbench.metrics.certification.acceptance import compare
    from genbench.report.certificate import acceptance_text

    if precision == "fp32" and not compiled:
        raise UsageError("There is no fast path to check.", "Add --precision bf16, --compile, or both.")
    found = _load_held_out(extractor, dataset, settings, samples, device, plugins)
    compared = compare(found.evaluation, extractor, dataset, found.data_hash, precision, compiled)  # type: ignore[arg-type]
    code = ExitCode.OK if compared.accepted else ExitCode.REGRESSED
    record_exit_code(code)
    if as_json:
        _print_result(compared, tolerated=compared.tolerated, accepted=compared.accepted)
    else:
        echo(acceptance_text(compared), nl=False)
    return code


def _load_held_out(
    extractor: str, dataset: str, settings: tuple[str, ...], samples: int, device: str, plugins: tuple[str, ...]
) -> HeldOut:
    from genbench.commands.device import select_present_device
    from genbench.datacheck.target import find_target
    from genbench.plugins.catalogue import discover
    from genbench.sampling.held_out import load_held_out

    catalogue = discover(plugins)
    entry = catalogue.require("extractors", extractor)
    target = find_target(dataset, settings, catalogue)
    choice = target.choice
    if target.folder is not None:
        choice.options["path"] = str(target.folder)
    plugins_used = [entry.plugin, target.plugin]
    return load_held_out(choice, target.shape, extractor, plugins_used, select_present_device(device), samples)


def _measure_certificate(found: HeldOut, extractor: str, dataset: str) -> Certificate:
    from genbench.metrics.certification.certificate import certify as measure

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            echo(f"measuring: {what}", err=True)

    return measure(found.evaluation, extractor, dataset, found.data_hash, progress)


def _print_result(record: Any, **more: object) -> None:
    import msgspec
    import torch

    from genbench import __version__

    data = {**msgspec.to_builtins(record), **more, "genbench": __version__, "torch": str(torch.__version__)}
    print_json(data)


def _write_figure(path: Path, certificate: Certificate) -> None:
    from genbench.report.figures.appearance import make_appearance
    from genbench.report.figures.kinds import figure_of_certificate
    from genbench.report.figures.options import Options

    save_figure(figure_of_certificate(certificate, Options(), make_appearance()), path)
    echo(f"Figure: {path}", err=True)
