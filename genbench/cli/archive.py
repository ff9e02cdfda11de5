"""`genbench archive`: pack a run into one file for readers."""

from __future__ import annotations

import click

from genbench.cli.output import echo


@click.command("archive")
@click.argument("run", type=click.Path())
@click.option("--out", type=click.Path(), metavar="FILE.zip", help="The file. [default: beside RUN]")
@click.option("--weights", is_flag=True, help="Also pack the networks of the cells (safetensors).")
@click.option("--no-pictures", is_flag=True, help="Leave out samples and other pictures.")
def command(run: str, out: str | None, weights: bool, no_pictures: bool) -> None:
    """Pack the results of RUN with plan, environment, tables and a model card into one zip file.

    `genbench table`, `show` and `board` read it as they read a run; every file in it has its hash in a manifest.
    """
    from genbench.commands.output_files import output_path
    from genbench.report.archive import pack
    from genbench.report.table.layout import clean
    from genbench.results.archive import SUFFIX
    from genbench.results.store import RunDirectory

    target = None if out is None else output_path(out, "--out", SUFFIX)
    packed = pack(RunDirectory.open_unpacked(run), target, weights, not no_pictures)
    for warning in packed.warnings:
        echo(f"Warning: {clean(warning, 2000)}", err=True)
    echo(packed.path)
