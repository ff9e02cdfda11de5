"""`genbench board`: a static site over many runs."""

from __future__ import annotations

from pathlib import Path

import click

from genbench.cli.flags import as_json_flag, trust_plugins_flag
from genbench.cli.output import echo, print_json, record_exit_code
from genbench.errors import ExitCode


@click.command("board")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN...")
@click.option("--out", type=click.Path(), metavar="DIR", help="The folder of the site; new, empty, or a board.")
@click.option("--title", default="genbench board", show_default=True, metavar="TEXT", help="The title of the site.")
@click.option(
    "--checks",
    type=click.Path(),
    metavar="FILE.json",
    help="Read which runs have been checked; --check adds to it. [default with --check: checks.json]",
)
@click.option("--check", is_flag=True, help="Train the beginnings of some cells of each RUN again, and compare.")
@click.option(
    "--cells",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How many cells of a run --check repeats.",
)
@trust_plugins_flag
@as_json_flag
def command(
    runs: tuple[str, ...],
    out: str | None,
    title: str,
    checks: str | None,
    check: bool,
    cells: int,
    trust_plugins: bool,
    as_json: bool,
) -> int:
    """Write a static site over RUNs: run directories, archives, and folders that hold them.

    Open index.html in a browser, or copy the folder to any web server. Called again, it reads only the runs that have
    changed and writes only the pages that do.

    With --check, RUNs are marked as reproduced, differing or not checked: bit for bit where processor and torch are
    those of the run, within the effect of rounding elsewhere. Plugin files that a run names are not loaded without
    --trust-plugins. The exit code is 1 if one differs, and 5 if none could be checked.

    \b
    genbench board results --out site
    genbench board --check submitted/run --checks checks.json
    """
    from genbench.cli.output import show_image_progress
    from genbench.errors import UsageError
    from genbench.report.board.checks import read_checks
    from genbench.report.board.site import build_board
    from genbench.report.table.layout import clean

    code = ExitCode.OK
    if check:
        checks = checks or "checks.json"
        code = _check(runs, checks, cells, trust_plugins, as_json and out is None)
        record_exit_code(code)
        if out is None:
            return code
    if out is None:
        raise UsageError("--out is missing.", "Name the folder of the site, such as --out site.", code="GB102")
    known = read_checks(Path(checks).expanduser()) if checks is not None else None
    with show_image_progress("Reading runs") as progress:
        built = build_board(runs, out, title, known, progress)
    if as_json:
        print_json({**built._asdict(), "path": str(built.path)})
        return code
    for place, why in built.problems.items():
        echo(f"Damaged: {clean(place)}: {clean(why, 2000)}", err=True)
    for place, first in built.duplicates.items():
        echo(f"Note: {clean(place)} is a copy of {clean(first)}, which is shown.", err=True)
    echo(f"{built.path / 'index.html'}: {built.runs} runs, {built.read} of them read, {built.written} files written")
    return code


def _check(runs: tuple[str, ...], checks: str, cells: int, trust_plugins: bool, as_json: bool) -> ExitCode:
    """Check runs, print the verdicts, and return the exit code."""
    from genbench.commands.check_run import RunCheck, check_runs

    def show(found: RunCheck) -> None:
        if not as_json:
            echo(found)

    found = check_runs(*runs, checks=checks, cells=cells, trust_plugins=trust_plugins, on_check=show)
    if as_json:
        print_json(found)
    verdicts = {one.check.verdict for one in found}
    if "differs" in verdicts:
        return ExitCode.REGRESSED
    return ExitCode.OK if "reproduced" in verdicts else ExitCode.FAILED_CELLS
