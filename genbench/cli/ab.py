"""`genbench ab`: compare two versions of the code live, on this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.flags import config_option, timing_options
from genbench.cli.output import echo
from genbench.errors import ExitCode

if TYPE_CHECKING:
    from genbench.ab.reference import Reference


@click.command("ab")
@click.option(
    "--base", required=True, metavar="REF", help="Version to compare with: a git revision, a wheel, or ./FOLDER."
)
@click.option("--head", default=".", show_default=True, metavar="REF", help="Version to judge, given likewise.")
@click.option(
    "--package", "packages", multiple=True, metavar="FOLDER",
    help="Folder inside REF to install, such as plugins/mine; repeatable. [default: the top folder]",
)  # fmt: skip
@config_option
@click.option("--max-minutes", type=float, metavar="MINUTES", help="Stop after this time, even without a decision.")
@click.option(
    "--out", type=click.Path(), metavar="DIR",
    help="Folder for the measurements, a summary and JUnit XML. [default: results/ab-TIME]",
)  # fmt: skip
@timing_options()
def command(
    base: str,
    head: str,
    max_slowdown: str,
    packages: tuple[str, ...],
    settings: tuple[str, ...],
    config: str | None,
    max_minutes: float | None,
    out: str | None,
    quiet: bool,
    as_json: bool,
    **flags: Any,
) -> int:
    """Compare the training steps of two versions of the code, live, and say whether one is slower.

    \b
    genbench ab --base main --head . --models gan,vae
    genbench ab --base v1.2 --head HEAD --package plugins/mine --models my-gan
    """
    from genbench.ab.arm import built
    from genbench.ab.comparison import Comparing
    from genbench.ab.reference import find_reference
    from genbench.ab.session import Session
    from genbench.cli._ab_steps import (
        make_progress,
        make_question,
        report_verdict,
        stop_on_sigterm,
    )
    from genbench.gate.limits import parse_share
    from genbench.gate.sequential import LookSchedule

    limit = parse_share(max_slowdown, "--max-slowdown")
    question = make_question(flags, settings, config)
    here = Path.cwd()
    references = find_reference(base, here), find_reference(head, here)
    labels = references[0].label, references[1].label

    def report(text: str) -> None:
        if not quiet:
            echo(text, err=True)

    report(f"Building {labels[0]} and {labels[1]}")
    with stop_on_sigterm(), built(*references, packages or (".",)) as (first, second):
        session = Session(first, second, question)
        comparison = Comparing(session, session.survey(), limit, LookSchedule())
        interrupted = False
        try:
            comparison.run(make_progress(report), math.inf if max_minutes is None else 60 * max_minutes)
        except KeyboardInterrupt:
            interrupted = True
        code = report_verdict(comparison, labels, _notes(references), question, out, as_json, interrupted)
    return ExitCode.INTERRUPTED if interrupted else code


def _notes(references: Sequence[Reference]) -> list[str]:
    """Return a note if uncommitted changes exist that the comparison leaves out."""
    from genbench.ab.reference import uncommitted

    revisions = [reference for reference in references if reference.kind == "revision"]
    directories = [reference for reference in references if reference.kind == "directory"]
    if revisions and not directories and uncommitted(revisions[0].path):
        return ["neither version includes the uncommitted changes of the working tree; --head . measures them"]
    return []
