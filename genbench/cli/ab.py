"""`genbench ab`: two versions of the code against each other, live, on this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.cli.flags import as_json_flag, plugin_files
from genbench.cli.run import recipe_flags
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.ab.reference import Reference


@click.command("ab")
@click.option(
    "--base", required=True, metavar="REF", help="What to compare with: a git revision, a wheel, or ./FOLDER."
)
@click.option("--head", default=".", show_default=True, metavar="REF", help="What is judged; likewise.")
@click.option("--models", metavar="A,B,…", help="Models whose step is timed. [dcgan,dcgan-vae,gan,vae]")
@click.option("--losses", metavar="A,B,…", help="Losses to combine them with. [each model's own]")
@click.option("--datasets", metavar="A,B,…", help="Datasets. [fashion-mnist-mini]")
@click.option("--device", metavar="DEVICE", default="auto", help="cpu, cuda, cuda:1, or auto. [auto]")
@click.option("--max-slowdown", default="5%", show_default=True, metavar="SHARE", help="By how much a step may slow.")
@click.option(
    "--package", "packages", multiple=True, metavar="FOLDER",
    help="A folder inside REF that is installed, such as plugins/mine; repeatable. [its top]",
)  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME.OPTION=VALUE", help="An option; repeatable.")
@click.option("--config", type=click.Path(), metavar="PLAN.TOML", help="What to time, from a file as `run` takes it.")
@click.option("--threads", type=int, metavar="N", help="Torch threads. [all usable processors]")
@click.option("--max-minutes", type=float, metavar="MINUTES", help="Stop after this long, decided or not.")
@click.option("--out", type=click.Path(), metavar="DIR", help="Where evidence, summary and JUnit go. [results/ab-TIME]")
@click.option("--quiet", is_flag=True, help="No progress; only the verdict.")
@plugin_files
@as_json_flag
@recipe_flags
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
        conclude,
        interruptible,
        prepare,
        progress,
    )
    from genbench.gate.sequential import LookSchedule

    limit = parse_share(max_slowdown)
    question = prepare(flags, settings, config)
    here = Path.cwd()
    sides = find_reference(base, here), find_reference(head, here)

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    say(f"Building {sides[0].label} and {sides[1].label}")
    with interruptible(), built(*sides, packages or (".",)) as (first, second):
        session = Session(first, second, question)
        comparing = Comparing(session, session.survey(), limit, LookSchedule())
        interrupted = False
        try:
            comparing.run(progress(say), math.inf if max_minutes is None else 60 * max_minutes)
        except KeyboardInterrupt:
            interrupted = True
        labels = sides[0].label, sides[1].label
        code = conclude(comparing, labels, _notes(sides), question, out, as_json, interrupted)
    return ExitCode.INTERRUPTED if interrupted else code


def parse_share(text: str, flag: str = "--max-slowdown") -> float:
    """Return 0.05 for ``5%`` or ``0.05``; raise `UsageError` for what is no share."""
    written = text.strip()
    try:
        share = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share < 10:
        raise UsageError(f"{flag} {text} cannot be read.", "Write a share from 0, such as 5% or 0.05.")
    return share


def _notes(sides: Sequence[Reference]) -> list[str]:
    """Say what a reader of the verdict may have expected to be part of it, and is not."""
    from genbench.ab.reference import uncommitted

    revisions = [side for side in sides if side.kind == "revision"]
    if revisions and not any(side.kind == "directory" for side in sides) and uncommitted(revisions[0].path):
        return ["the working tree has uncommitted changes, which are in neither side; --head . measures them"]
    return []
