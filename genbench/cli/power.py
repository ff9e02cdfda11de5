"""`genbench power`: how many seeds, samples, images and hours it takes to see a difference."""

from __future__ import annotations

import click

from genbench.cli.flags import as_json_flag
from genbench.cli.output import print_result


@click.command("power")
@click.argument("run", type=click.Path())
@click.option("--detect", required=True, metavar="SHARE", help="Difference to be seen, such as 5% of the mean.")
@click.option("--metric", metavar="NAME", help="The metric. [default: fid, or the first distance]")
@click.option("--models", metavar="A,B,…", help="Only the cells of these models. [default: all]")
@click.option("--error", default="5%", show_default=True, metavar="SHARE", help="Probability of any false difference.")
@click.option(
    "--power", default="80%", show_default=True, metavar="SHARE", help="Probability of seeing a true difference."
)
@as_json_flag
def command(
    run: str, detect: str, metric: str | None, models: str | None, error: str, power: str, as_json: bool
) -> None:
    """Forecast what it takes to see a difference between the cells of RUN, from how much their seeds differ.

    RUN is a pilot with a few seeds. The forecast is for `genbench compare RUN` with the same seeds in every cell.
    """
    from genbench.commands.load import load

    found = load(run).power(detect, metric=metric, models=models, error=error, power=power)
    print_result(found, as_json)
