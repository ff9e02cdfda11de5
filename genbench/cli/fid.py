"""`genbench fid`: measure the distance between two sets of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from genbench.cli.flags import (
    as_json_flag,
    device_option,
    plugin_files,
    set_option,
    trust_plugins_flag,
    weights_flag,
)
from genbench.cli.output import echo, print_json, record_exit_code, save_figure, show_image_progress
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.commands.distance import DistanceSettings


@click.command("fid")
@click.argument("real", metavar="REAL")
@click.argument("fake", metavar="[FAKE]", required=False)
@click.option(
    "--metrics",
    metavar="A,B,…",
    help="fid, kid, is; or fd, kd, prdc, … of the extractor, or of a plugin. [default: Fréchet distance (fid)]",
)
@set_option("a metric")
@click.option(
    "--extractor", metavar="NAME", help="Feature extractor; see `genbench list extractors`. [default: inception]"
)
@weights_flag
@device_option("auto")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="Images per batch."
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Images to draw from a cell. [default: as many as its run]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed for drawing from a cell.",
)
@click.option(
    "--n-real",
    type=click.IntRange(min=2),
    metavar="N",
    help="Number of images behind REAL, where it is a file of statistics that does not state it.",
)
@click.option("--strict", is_flag=True, help="Exit with code 5 and no result unless every image is read.")
@click.option(
    "--save-stats",
    type=click.Path(),
    metavar="OUT.npz",
    help="Write the statistics of REAL, to use as REAL later or with pytorch-fid; FAKE is then optional.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Show the distance under the protocols of known tools, and which choice moves it by how much.",
)
@click.option(
    "--protocol",
    metavar="TEXT|FILE.toml",
    help='Explain the difference from what a paper states, such as "50k, train, pytorch-fid"; implies --explain.',
)
@click.option(
    "--figure",
    type=click.Path(),
    metavar="FILE",
    help="Draw the waterfalls as FILE.pdf, FILE.svg or FILE.png, and the facts for a caption as FILE.txt.",
)
@plugin_files
@trust_plugins_flag
@as_json_flag
def command(
    real: str,
    fake: str | None,
    metrics: str | None,
    settings: tuple[str, ...],
    extractor: str | None,
    weights: str | None,
    device: str,
    batch_size: int,
    samples: int | None,
    seed: int,
    n_real: int | None,
    strict: bool,
    save_stats: str | None,
    explain: bool,
    protocol: str | None,
    figure: str | None,
    plugins: tuple[str, ...],
    trust_plugins: bool,
    as_json: bool,
) -> int:
    """Measure the distance between the images REAL and FAKE.

    Each is a folder of images, an .npy or .npz file of images, an .npz file of statistics (mu, sigma), a dataset, or
    RUN:CELL. A dataset is named as in `genbench run --datasets`; append @train (default) or @test to choose the split.

    \b
    genbench fid photos generated
    genbench fid fashion-mnist-mini@test results/first:dcgan --extractor fashion-cnn --metrics fd,prdc
    genbench fid photos --save-stats photos.npz
    genbench fid photos generated --explain
    """
    from genbench.commands.output_files import output_path

    explains = explain or protocol is not None
    if figure is not None and not explains:
        raise UsageError("--figure draws an explanation.", "Add --explain.", code="GB104")
    if explains:
        _require_no_other_metrics(fake, metrics=metrics, set=settings, n_real=n_real, save_stats=save_stats)
    out = None if save_stats is None else output_path(save_stats, "--save-stats", ".npz")
    if fake is None and out is None:
        raise UsageError(
            "FAKE is missing.", "Run `genbench fid REAL FAKE`; REAL alone needs --save-stats.", code="GB102"
        )

    from genbench.commands.distance import DistanceSettings, measure_distance
    from genbench.imagesets.format import as_data, as_text
    from genbench.planning.request import make_request
    from genbench.report.table.layout import clean

    asked = DistanceSettings(
        extractor, weights, device, batch_size, samples, seed, n_real, strict, plugins, trust_plugins,
        make_request({}, settings).set,
    )  # fmt: skip
    if explains:
        return _explain(real, fake, protocol, asked, as_json, figure)
    found = measure_distance(real, fake, metrics, asked, out, lambda title: show_image_progress(clean(title)))
    if found is None:
        echo(out)
        return ExitCode.OK
    code = ExitCode.FAILED_CELLS if found.unavailable else ExitCode.OK
    _print(found.warnings, as_data(found), as_text(found), as_json, code)
    return code


def _explain(
    real: str, fake: object, protocol: str | None, asked: DistanceSettings, as_json: bool, figure: str | None
) -> int:
    from genbench.commands.explanation import measure_explanation
    from genbench.report.figures.figure import figure_path
    from genbench.report.table.layout import clean

    path = None if figure is None else figure_path(figure)
    found = measure_explanation(real, fake, protocol, asked, lambda title: show_image_progress(clean(title)))
    code = ExitCode.OK if found.check is None or found.check.reproduced else ExitCode.NOT_COMPARABLE
    _print(found.warnings, found, str(found), as_json, code)
    if path is not None:
        echo(f"figure {save_figure(found.figure(), path)}", err=True)
    return code


def _require_no_other_metrics(fake: str | None, **others: object) -> None:
    """Raise `UsageError` for flags that --explain cannot honour."""
    if fake is None:
        raise UsageError("FAKE is missing.", "Run `genbench fid REAL FAKE --explain`.", code="GB102")
    for name, value in others.items():
        if value:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} has no meaning with --explain, which explains the Fréchet distance of images.",
                f"Drop {flag}.",
                code="GB104",
            )


def _print(warnings: Sequence[str], data: object, text: str, as_json: bool, code: int) -> None:
    from genbench.report.table.layout import clean

    record_exit_code(code)
    for warning in warnings:
        echo(f"Warning: {clean(warning)}", err=True)
    if as_json:
        print_json(data)
    else:
        echo(text, nl=False)
