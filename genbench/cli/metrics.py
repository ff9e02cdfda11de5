"""`genbench metrics`: whether an extractor's distance may be trusted, and whether a fast path of it may."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.gate.extractor_certificate import Certificate
    from genbench.sampling.held_out import HeldOut

DATASET = "fashion-mnist-mini"
SAMPLES = 2000

Function = TypeVar("Function", bound=Callable[..., Any])


def _common(function: Function) -> Function:
    for decorate in (
        as_json_flag,
        plugin_files,
        click.option("--device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:1, or auto. [cpu]"),
        click.option(
            "--samples", type=click.IntRange(min=40), default=SAMPLES, metavar="N", help="Held-out images. [2000]"
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME.OPTION=VALUE",
            help="An option of the dataset. Repeatable.",
        ),
        click.option("--dataset", default=DATASET, metavar="NAME", help=f"What it is tried on. [{DATASET}]"),
        click.argument("extractor"),
    ):
        function = decorate(function)
    return function


@click.group("metrics", cls=NearMissGroup)
def command() -> None:
    """Certify an extractor of features, or check a fast path of it."""


@command.command("certify")
@_common
@click.option("--out", type=click.Path(), metavar="FILE.svg", help="Also draw the ladders. [no figure]")
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
    """Measure the floor of an extractor's distance, and ladders of real images that are spoilt by degrees.

    Ends with code 0 where each distance is larger than the one before by more than two standard errors, 1 where one
    is smaller by as much, 3 where neither can be said.

    \b
    \b
    genbench metrics certify fashion-cnn --out ladder.svg
    genbench metrics certify classifier --dataset cifar10 --json
    """
    from genbench.gate.extractor_certificate import Monotonicity
    from genbench.report.certificate import certificate_text

    figure = None if out is None else _checked_figure(out)
    found = _measured(extractor, dataset, settings, samples, device, plugins)
    certificate = _certified(found, extractor, dataset)
    codes = {Monotonicity.MONOTONE: ExitCode.OK, Monotonicity.NOT_MONOTONE: ExitCode.REGRESSED}
    code = codes.get(certificate.verdict, ExitCode.INCONCLUSIVE)
    click.get_current_context().find_root().obj = code  # it counts even where nobody reads the report
    if as_json:
        verdicts = {ladder.name: ladder.verdict for ladder in certificate.ladders}
        _print_json(certificate, verdict=certificate.verdict, verdicts=verdicts)
    else:
        click.echo(certificate_text(certificate), nl=False)
    if figure is not None:
        _draw(figure, certificate)
    return code


@command.command("accept")
@_common
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", help="Of the network. [fp32]")
@click.option("--compile", "compiled", is_flag=True, help="Through torch.compile. [as it is]")
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
    """Check a fast path: fast and exact features of the same images must lie closer than a tenth of the standard error.

    Ends with code 0 where it is accepted, 1 where it is not.

    \b
    \b
    genbench metrics accept fashion-cnn --precision bf16
    genbench metrics accept inception --precision bf16 --compile --device cuda
    """
    from genbench.metrics.certification.acceptance import compare
    from genbench.report.certificate import acceptance_text

    if precision == "fp32" and not compiled:
        raise UsageError("There is no fast path to check.", "Say --precision bf16, --compile, or both.")
    found = _measured(extractor, dataset, settings, samples, device, plugins)
    compared = compare(found.evaluation, extractor, dataset, found.data_hash, precision, compiled)  # type: ignore[arg-type]
    code = ExitCode.OK if compared.accepted else ExitCode.REGRESSED
    click.get_current_context().find_root().obj = code
    if as_json:
        _print_json(compared, tolerated=compared.tolerated, accepted=compared.accepted)
    else:
        click.echo(acceptance_text(compared), nl=False)
    return code


def _measured(
    extractor: str, dataset: str, settings: tuple[str, ...], samples: int, device: str, plugins: tuple[str, ...]
) -> HeldOut:
    from genbench.cli._run_steps import parse_device, resolve_auto
    from genbench.datacheck.target import find_target
    from genbench.measure.accelerator import devices, select_device
    from genbench.plugins.catalogue import discover
    from genbench.sampling.held_out import load_held_out

    catalogue = discover(plugins)
    entry = catalogue.require("extractors", extractor)
    target = find_target(dataset, settings, catalogue)
    choice = target.choice
    if target.folder is not None:
        choice.options["path"] = str(target.folder)
    chosen = resolve_auto(parse_device(device))
    if chosen.startswith("cuda"):
        known = devices()
        if int(chosen.partition(":")[2] or 0) >= len(known["cuda"]):
            raise UsageError(
                f"No device '{chosen}': {known['cuda_reason'] or 'there are not that many'}.", "Use --device cpu."
            )
    return load_held_out(choice, target.shape, extractor, [entry.plugin, target.plugin], select_device(chosen), samples)


def _certified(found: HeldOut, extractor: str, dataset: str) -> Certificate:
    from genbench.metrics.certification.certificate import certify as measure

    def progress(what: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"measuring: {what}", err=True)

    return measure(found.evaluation, extractor, dataset, found.data_hash, progress)


def _print_json(record: Any, **more: object) -> None:
    import msgspec
    import torch

    from genbench import __version__

    data = {**msgspec.to_builtins(record), **more, "genbench": __version__, "torch": str(torch.__version__)}
    click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())


def _checked_figure(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix.lower() != ".svg":
        raise UsageError(f"--out {text} is not a .svg file.", "Give it the suffix .svg.")
    if not path.parent.is_dir():
        raise UsageError(f"--out {text}: there is no folder {path.parent}.", "Make it, or choose another place.")
    return path


def _draw(path: Path, certificate: Certificate) -> None:
    from genbench.report.html.certificate_figure import certificate_figure
    from genbench.results.store import atomic_write

    try:
        atomic_write(path, certificate_figure(certificate).encode())
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.", "Choose another --out.") from error
    click.echo(f"Ladders: {path}", err=True)
