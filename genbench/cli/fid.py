"""`genbench fid`: how far one set of images is from another."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from genbench.cli.flags import as_json_flag, plugin_files, use_weights, weights_flag
from genbench.errors import ExitCode, UsageError
from genbench.report.table.layout import clean

if TYPE_CHECKING:
    from genbench.api.specs import ExtractorSpec
    from genbench.data.progress import Progress
    from genbench.plugins.catalogue import Catalogue

_BATCH = 50


@click.command("fid")
@click.argument("real", metavar="REAL")
@click.argument("fake", metavar="FAKE", required=False)
@click.option(
    "--metrics",
    metavar="A,B,…",
    help="fid, kid, is; or fd, kd, prdc, … with the extractor. [the Fréchet distance: fid]",
)
@click.option("--extractor", metavar="NAME", help="See `genbench list extractors`. [inception]")
@weights_flag
@click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="cpu, cuda, cuda:1, or auto.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=_BATCH, show_default=True, metavar="N", help="Of the network."
)
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="Drawn from a cell. [as many as its run drew]")
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, metavar="N", help="Of a cell's samples."
)
@click.option("--strict", is_flag=True, help="End with code 5, and no number, where an image cannot be read.")
@click.option(
    "--save-stats",
    type=click.Path(),
    metavar="OUT.npz",
    help="Write REAL's statistics, for later use as REAL and for pytorch-fid; FAKE may then be left away.",
)
@plugin_files
@as_json_flag
def command(
    real: str,
    fake: str | None,
    metrics: str | None,
    extractor: str | None,
    weights: str | None,
    device: str,
    batch_size: int,
    samples: int | None,
    seed: int,
    strict: bool,
    save_stats: str | None,
    plugins: tuple[str, ...],
    as_json: bool,
) -> int:
    """Measure how far the images FAKE are from the images REAL.

    Each is a folder of images, an .npy or .npz of images, an .npz of statistics (mu, sigma), a dataset, or RUN:CELL.
    A dataset is written as for `genbench run --datasets`, with @train or @test behind it for the split (train).

    \b
    \b
    genbench fid photos generated
    genbench fid fashion-mnist-mini@test results/first:dcgan --extractor fashion-cnn --metrics fd,prdc
    genbench fid photos --save-stats photos.npz
    """
    out = None if save_stats is None else _checked_out(save_stats)
    if fake is None and out is None:
        raise UsageError("FAKE is missing.", "Write genbench fid REAL FAKE; REAL alone goes with --save-stats.")
    use_weights(weights)

    from genbench.cli._run_steps import select_present_device
    from genbench.imagesets.comparison import compare, find_measurements, save_statistics
    from genbench.imagesets.evaluation import ImageSetEvaluation
    from genbench.imagesets.format import as_data, as_text
    from genbench.imagesets.resolve import SamplingSettings, find_image_set
    from genbench.plugins.catalogue import discover

    catalogue = discover(plugins)
    measurements = find_measurements(metrics, extractor, catalogue)
    specs = list(dict.fromkeys(one.extractor.name for one in measurements))
    if out is not None and len(specs) > 1:
        raise UsageError("--save-stats is of one extractor's features.", "Name metrics of one extractor only.")
    chosen = select_present_device(device)
    drawing = SamplingSettings(chosen, samples, seed, plugins)
    first = find_image_set(real, catalogue, drawing)
    evaluation = ImageSetEvaluation(
        real=first,
        fake=None if fake is None else find_image_set(fake, catalogue, drawing),
        device=chosen,
        batch_size=batch_size,
        seed=seed,
        extractors=_loadable(specs, catalogue),
        data=first.data,
        show_progress=_bar,
    )
    with contextlib.closing(evaluation):
        found = None if fake is None else compare(evaluation, measurements, strict)
        if out is not None:
            save_statistics(evaluation, specs[0], out, strict)
    if found is None:
        click.echo(out)
        return ExitCode.OK
    code = ExitCode.FAILED_CELLS if found.unavailable else ExitCode.OK
    click.get_current_context().find_root().obj = code  # it counts even where nobody reads the report
    for warning in found.warnings:
        click.echo(f"Warning: {clean(warning)}", err=True)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(as_data(found)), indent=2).decode())
    else:
        click.echo(as_text(found), nl=False)
    return code


def _checked_out(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix.lower() != ".npz":
        raise UsageError(f"--save-stats {text} is not an .npz file.", "Give it the suffix .npz.")
    if not path.parent.is_dir():
        raise UsageError(f"--save-stats {text}: there is no folder {path.parent}.", "Make it, or choose another place.")
    return path


def _loadable(names: Sequence[str], catalogue: Catalogue) -> dict[str, ExtractorSpec]:
    """Return the specs of these extractors from plugins that are imported into this process."""
    from genbench.plugins.worker_catalogue import load_catalogue

    plugins = {catalogue.extractors[name].plugin.target: catalogue.extractors[name].plugin for name in names}
    others = [dataclasses.asdict(plugin) for plugin in plugins.values() if plugin.origin != "builtin"]
    registry = load_catalogue(others)
    return {name: registry.extractors[name].spec for name in names}


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    """Show how many images of a side are done, on a terminal only."""
    from genbench.data.progress import ignore_progress

    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(clean(title).replace("[", r"\["), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
