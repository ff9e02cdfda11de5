"""The steps that `genbench check` and `genbench compare` share."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click

from genbench.errors import UsageError
from genbench.gate.from_file import measurements_of_baseline, measurements_of_benchmarks, merged
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import judge, overall
from genbench.gate.limits import Limits, parse_limit, read_limits
from genbench.gate.measurements import Measurements
from genbench.report.gate import stored as shown
from genbench.results.baseline import read_baseline
from genbench.results.files import atomic_write
from genbench.results.store import RunDirectory


def limits_from(config: str | None, max_slowdown: str | None) -> Limits:
    """Return the limits of a TOML file's `[gate]`, under a limit that was given; raise `UsageError`."""
    table: object = {}
    if config is not None:
        try:
            table = tomllib.loads(Path(config).expanduser().read_text(encoding="utf-8")).get("gate")
        except OSError as error:
            raise UsageError(f"Cannot read {config}: {error.strerror}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{config} is not valid TOML: {error}.") from None
        if table is None:
            raise UsageError(f"{config} has no [gate].", 'Write [gate], and below it: max-slowdown = "5%".')
    if max_slowdown is not None:
        parse_limit(max_slowdown, "--max-slowdown")
        table = {**(table if isinstance(table, dict) else {}), "max-slowdown": max_slowdown}
    return read_limits(table)


def read_measurements(text: str) -> Measurements:
    """Return what a run directory, a baseline file, or pytest-benchmark's JSON holds; raise `UsageError`.

    A folder of such JSON files is one side: each file a process.
    """
    path = Path(text)
    if path.is_dir() and not (path / "run.json").exists() and (files := sorted(path.glob("*.json"))):
        return merged([_of_file(file) for file in files], text)
    if not path.is_file():
        return measurements_of_run(RunDirectory.open(path).read())
    return _of_file(path)


def _of_file(path: Path) -> Measurements:
    text = str(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{text} cannot be read: {error}.", "Name a run directory, or a JSON file.") from None
    if isinstance(document, dict) and "baseline_version" in document:
        return measurements_of_baseline(read_baseline(path), text)
    return measurements_of_benchmarks(document, text)


def conclude(
    base: Measurements,
    head: Measurements,
    limits: Limits,
    as_json: bool,
    everything: bool,
    summary: str | None,
    junit: str | None,
    strict: bool,
) -> int:
    """Judge, print what was found, write what was asked for, and return the exit code."""
    findings = judge(base, head, limits, strict)
    sides = base.name, head.name
    verdict = overall(findings)
    text = shown.as_json(findings, sides) if as_json else shown.text(findings, sides, everything)
    click.get_current_context().find_root().obj = int(verdict.exit_code)  # also where nobody reads on
    click.echo(text, nl=False)
    try:
        if summary:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(shown.summary(findings, sides))
        if junit:
            atomic_write(Path(junit), shown.cases(findings, "genbench").encode())
    except OSError as error:
        click.echo(f"Warning: {error.filename or 'a file'} cannot be written: {error.strerror}", err=True)
    return verdict.exit_code
