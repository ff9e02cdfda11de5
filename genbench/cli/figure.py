"""`genbench figure`: draw a figure for a paper, a talk or a page."""

from __future__ import annotations

import click

from genbench.cli.flags import settings_filter, where_option
from genbench.cli.output import echo, save_figure
from genbench.errors import UsageError


@click.command("figure")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option(
    "--kind",
    default="frontier",
    show_default=True,
    metavar="NAME",
    help="frontier, curves, samples, throughput, scaling, ranks, history, ladder or tuning.",
)
@click.option("--out", required=True, type=click.Path(), metavar="FILE", help="FILE.pdf, FILE.svg or FILE.png.")
@click.option("--x", default="", metavar="NAME", help="Quantity of the horizontal axis. [default: the usual one]")
@click.option("--y", metavar="A,B,…", help="Quantity of the vertical axis; curves and history take several.")
@where_option
@click.option("--log-x/--linear-x", default=None, help="[default: logarithmic if values span a factor above 20]")
@click.option("--log-y/--linear-y", default=None, help="[default: the same]")
@click.option("--theme", default="light", show_default=True, metavar="NAME", help="light, dark or paper.")
@click.option(
    "--width",
    default="two-column",
    show_default=True,
    metavar="SIZE",
    help="one-column (8.6 cm), two-column (17.8 cm), or centimetres.",
)
@click.option("--height", type=float, metavar="CM", help="[default: that of the content]")
@click.option(
    "--over-seeds/--per-seed",
    default=None,
    help="Mean over seeds with its error, or each seed. [default: over seeds if there are several]",
)
def command(
    runs: tuple[str, ...],
    kind: str,
    out: str,
    x: str,
    y: str | None,
    where: tuple[str, ...],
    log_x: bool | None,
    log_y: bool | None,
    theme: str,
    width: str,
    height: float | None,
    over_seeds: bool | None,
) -> None:
    """Draw a figure of one or more RUNs, and write the facts for its caption beside it as FILE.txt.

    Needs matplotlib: pip install 'genbench[figures]'. A ladder is drawn from the JSON file of a certificate,
    tuning from the directory of `genbench tune`.

    \b
    genbench figure results/first --out frontier.pdf
    genbench figure results/first --kind curves --y fd-fashion-cnn --theme paper --width one-column --out curves.pdf
    genbench figure results/sweep --kind scaling --x batch_size --y images/s --out scaling.svg
    genbench figure certificate.json --kind ladder --out ladder.png
    """
    from genbench.commands.checks.certificate import certificate_figure
    from genbench.commands.load import load
    from genbench.report.figures.figure import figure_path
    from genbench.report.figures.kinds import LADDER, TUNING, check_kind

    check_kind(kind)
    path = figure_path(out)
    names = [name.strip() for name in y.split(",") if name.strip()] if y else []
    if kind == LADDER:
        if len(runs) != 1 or x or names or where or log_x is not None or over_seeds is not None:
            raise UsageError(
                "A ladder is drawn from one certificate.",
                "Give one JSON file, --log-y, --theme, --width and --height.",
                code="GB710",
            )
        figure = certificate_figure(runs[0], log_y=log_y, theme=theme, width=width, height=height)
    elif kind == TUNING:
        from genbench.commands.tuning.tuning import load_tuning

        if len(runs) != 1 or x or names or where or over_seeds is not None:
            raise UsageError(
                "A figure of kind tuning shows one tuning.",
                "Give one directory of `genbench tune`, --log-x, --log-y, --theme, --width and --height.",
                code="GB710",
            )
        tuning = load_tuning(runs[0])
        figure = tuning.figure(log_x=log_x, log_y=log_y, theme=theme, width=width, height=height)
    else:
        figure = (
            load(*runs)
            .where(settings_filter(where))
            .figure(
                kind, x, names, log_x=log_x, log_y=log_y, theme=theme, width=width, height=height, over_seeds=over_seeds
            )
        )
    echo(save_figure(figure, path))
